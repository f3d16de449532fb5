"""The files of a check: all of them, or none.

``docs/checking.md`` describes them.
"""

from __future__ import annotations

from pathlib import Path

from edseg_engine import __version__
from edseg_engine.checking.check import CheckedResidue, ModelCheck
from edseg_engine.io.names import shown
from edseg_engine.io.result_files import ResultFiles, seconds, write_table
from edseg_engine.labels import LABELS
from edseg_engine.progress import ProgressCallback, ignore_progress

CHECK_SCHEMA = "edseg-check/1"
CHECK_OUTPUT = ResultFiles("check.json", ("residues.csv", "check.pml"))
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
    with CHECK_OUTPUT.writing(directory, check_to_json(result), overwrite=overwrite, progress=progress) as new:
        write_table(new / "residues.csv", CHECK_COLUMNS, map(_row, result.residues))
        (new / "check.pml").write_text(pymol_script(result), encoding="ascii")


def check_to_json(result: ModelCheck) -> dict[str, object]:
    """Return the content of ``check.json``."""
    return {
        "schema": CHECK_SCHEMA,
        "engine_version": __version__,
        "model": shown(result.model),
        "input": dict(result.input),
        "resolution": round(result.resolution, 3),
        "weights": result.weights.to_json(),
        "device": result.device,
        "timings": seconds(result.timings),
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
                "probability": None if residue.own is None else round(residue.own, 4),
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
