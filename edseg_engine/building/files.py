"""The files of a built model: all of them, or none.

``docs/file-formats.md`` describes them.
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine import __version__
from edseg_engine.building.coordinates import residue_name
from edseg_engine.building.records import CA, Fragment, stretches
from edseg_engine.building.results import BuildResult
from edseg_engine.io.result_files import ResultFiles, seconds
from edseg_engine.labels import LABELS
from edseg_engine.progress import ProgressCallback, ignore_progress

BUILD_SCHEMA = "edseg-build/1"
BUILD_OUTPUT = ResultFiles("build.json", ("model.cif", "model.pdb", "model.mtz"))


def write_build(
    result: BuildResult,
    directory: Path | str,
    *,
    overwrite: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Write the files of a built model to `directory`.

    Raises
    ------
    OutputError
        If `directory` holds other files, or cannot be written.
    """
    with BUILD_OUTPUT.writing(directory, build_to_json(result), overwrite=overwrite, progress=progress) as new:
        structure = _with_sequences(result)
        (new / "model.cif").write_text(structure.make_mmcif_document().as_string(), encoding="utf-8")
        if structure.find_spacegroup().ext == "H":  # hexagonal axes of R 3 and R 32 have their own name in PDB files
            structure.spacegroup_hm = "H" + structure.find_spacegroup().hm[1:]
        (new / "model.pdb").write_text(structure.make_pdb_string(), encoding="utf-8")
        if result.reflections is not None:
            (new / "model.mtz").write_bytes(result.reflections)


def build_to_json(result: BuildResult) -> dict[str, object]:
    """Return the content of ``build.json``."""
    model, checks = result.model, result.checks
    cell = model.structure.cell
    addresses = sorted(model.residues, key=lambda address: (len(address[0]), address))
    return {
        "schema": BUILD_SCHEMA,
        "engine_version": __version__,
        "input": result.source,
        "cell": [round(x, 3) for x in cell.parameters],
        "spacegroup": model.structure.spacegroup_hm,
        "resolution": _rounded(result.resolution, 3),
        "r_work": _rounded(result.r_work),
        "r_free": _rounded(result.r_free),
        "waters": result.n_waters,
        "clashes": checks.n_clashes,
        "cycles": [
            {
                "found": cycle.found,
                "docked": cycle.docked,
                "built": cycle.built,
                "r_work": _rounded(cycle.r_work),
                "r_free": _rounded(cycle.r_free),
            }
            for cycle in result.cycles
        ],
        "best_cycle": result.best + 1,
        "chains": [
            {
                "name": name,
                "sequence": sequence,
                "built": sum(chain == name for chain, _ in addresses),
                "unbuilt": _ranges(set(range(1, len(sequence) + 1)) - {n for chain, n in addresses if chain == name}),
            }
            for name, sequence in model.sequences.items()
        ],
        "residues": [
            {
                "chain": chain,
                "number": number,
                "type": model.residues[chain, number].name,
                "docking_probability": _rounded(model.probability.get((chain, number))),
                "correlation": _rounded(checks.correlation.get((chain, number))),
                "rotamer_probability": _rounded(checks.rotamer.get((chain, number))),
                "ramachandran_allowed": checks.ramachandran.get((chain, number)),
            }
            for chain, number in addresses
        ],
        "alanines": [
            {"chain": name, "residues": sum(chain == name for chain, _ in model.unplaced)}
            for name in sorted(model.alanines)
        ],
        "fragments": [_fragment(fragment) for fragment in result.undocked],
        "timings": seconds(result.timings),
        "warnings": list(result.warnings),
    }


def _fragment(fragment: Fragment) -> dict[str, object]:
    best = fragment.probabilities.argmax(1)
    return {
        "residues": [
            {
                "label": LABELS[label],
                "probability": round(float(p[label]), 4),
                "confidence": round(float(confidence), 4),
                "ca": [round(float(x), 3) for x in atoms[CA]],
            }
            for label, p, confidence, atoms in zip(
                best, fragment.probabilities, fragment.confidence, fragment.atoms, strict=True
            )
        ]
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, digits)


def _ranges(numbers: set[int]) -> list[list[int]]:
    """Return [first, last] of each run of consecutive numbers."""
    return [[run[0], run[-1]] for run in stretches(sorted(numbers))]


def _with_sequences(result: BuildResult) -> gemmi.Structure:
    """Return the structure with the whole sequence of each chain, also what is not built."""
    structure = result.model.structure.clone()
    structure.name = "edseg"
    structure.setup_entities()
    for chain in structure[0]:
        letters = result.model.sequences.get(chain.name)
        entity = structure.get_entity_of(chain.get_polymer()) if letters else None
        if letters and entity is not None:
            entity.full_sequence = [residue_name(letter) for letter in letters]
    structure.assign_label_seq_id()
    return structure
