"""The files of a check: all of them, or none.

``docs/checking.md`` describes them.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

from edseg_engine import __version__
from edseg_engine.checking.check import CheckedResidue, ModelCheck
from edseg_engine.io.names import shown
from edseg_engine.io.output import check_output_directory, output_directory
from edseg_engine.labels import LABELS
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

CHECK_SCHEMA = "edseg-check/1"
#: The last is written last: where it is, the others are.
CHECK_FILES: tuple[str, ...] = ("residues.csv", "check.pml", "check.json")
#: Columns of ``residues.csv``.
CHECK_COLUMNS: tuple[str, ...] = (
    "chain", "number", "type", "label", "p_own", "likeliest", "p_likeliest", "doubtful", "shift",
    *(f"p_{label}" for label in LABELS),
)  # fmt: skip

#: Names reach PyMOL as Python strings, never as a part of a command or a selection.
_PML = """# Colours a model by the probability of each residue's type: red improbable, blue certain, grey no density.
python
_probabilities = {probabilities}
cmd.load({model}, "edseg_check", format={format})
cmd.alter("edseg_check", "b = own.get((chain, resi), -1.0)", space={{"own": _probabilities}})
cmd.color("grey70", "edseg_check")
cmd.spectrum("b", "red_white_blue", "edseg_check and b > -0.5", minimum=0, maximum=1)
cmd.alter("edseg_check", "q = float((chain, resi) in shifted)", space={{"shifted": set({shifted}), "float": float}})
cmd.select("edseg_shifted", "edseg_check and q > 0.5")
cmd.deselect()
python end
"""


def check_check_output(directory: Path | str, overwrite: bool = False) -> None:
    """Make sure that `write_check` can write to `directory`, without writing anything.

    Raises
    ------
    OutputError
        If it cannot.
    """
    check_output_directory(directory, CHECK_FILES, last=CHECK_FILES[-1], overwrite=overwrite)


def write_check(
    result: ModelCheck,
    directory: Path | str,
    *,
    overwrite: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Write the files of a check to `directory`.

    Raises
    ------
    OutputError
        If `directory` holds other files, or cannot be written.
    """
    progress(Progress("write", 0.0))
    with output_directory(directory, CHECK_FILES, last=CHECK_FILES[-1], overwrite=overwrite) as new:
        with (new / "residues.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(CHECK_COLUMNS)
            writer.writerows(_row(residue) for residue in result.residues)
        (new / "check.pml").write_text(pymol_script(result), encoding="ascii")
        text = json.dumps(check_to_json(result), indent=1, ensure_ascii=False, allow_nan=False)
        (new / "check.json").write_text(text + "\n", encoding="utf-8")
    progress(Progress("write", 1.0))


def check_to_json(result: ModelCheck) -> dict[str, object]:
    """Return the content of ``check.json``."""
    return {
        "schema": CHECK_SCHEMA,
        "engine_version": __version__,
        "model": shown(result.model),
        "input": dict(result.input),
        "resolution": round(result.resolution, 3),
        "weights": asdict(result.weights) | {"name": shown(result.weights.name)},
        "device": result.device,
        "timings": {stage: round(seconds, 3) for stage, seconds in result.timings.items()},
        "warnings": list(result.warnings),
        "shifts": [
            {
                "chain": shift.first.chain,
                "first": shift.first.number,
                "last": shift.last.number,
                "by": shift.by,
                "evidence": round(shift.evidence, 2),
                "built": shift.built,
                "fitting": shift.fitting,
            }
            for shift in result.shifts
        ],
        "residues": [
            {
                "chain": residue.name.chain,
                "number": residue.name.number,
                "type": residue.name.type,
                "label": LABELS[residue.label],
                "probability": _rounded(residue.own),
                "likeliest": None if residue.likeliest is None else LABELS[residue.likeliest],
                "doubtful": residue.doubtful,
                "shift": residue.shift,
                "probabilities": None
                if residue.probabilities is None
                else {label: round(p, 4) for label, p in zip(LABELS, residue.probabilities, strict=True)},
            }
            for residue in result.residues
        ],
    }


def pymol_script(result: ModelCheck) -> str:
    """Return a PyMOL script that loads the model and colours it."""
    own = {
        (residue.name.chain, residue.name.number): round(residue.own, 4)
        for residue in result.residues
        if residue.own is not None
    }
    shifted = [(residue.name.chain, residue.name.number) for residue in result.residues if residue.shift]
    name = result.model.name.lower().removesuffix(".gz")
    return _PML.format(
        probabilities=ascii(own),
        model=ascii(str(result.model.absolute())),
        format=ascii("cif" if name.endswith(("cif", "mmcif")) else "pdb"),
        shifted=ascii(shifted),
    )


def _row(residue: CheckedResidue) -> list[object]:
    name, p = residue.name, residue.probabilities
    first: list[object] = [name.chain, name.number, name.type, LABELS[residue.label]]
    if p is None or residue.likeliest is None:
        return [*first, "", "", "", "no", residue.shift, *([""] * len(LABELS))]
    return [
        *first,
        f"{p[residue.label]:.4f}",
        LABELS[residue.likeliest],
        f"{max(p):.4f}",
        "yes" if residue.doubtful else "no",
        residue.shift,
        *(f"{x:.4f}" for x in p),
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
