"""All atoms, waters and checks through Coot's engine, each task in a child process."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi

from edseg_engine.building.child import run_child, usable_cores
from edseg_engine.building.coordinates import residue_name
from edseg_engine.building.records import MapFile
from edseg_engine.progress import Progress, ProgressCallback

_PROGRESS = re.compile(r"^@progress (\S+) (.*)$", re.MULTILINE)
#: Seconds that a task may take: at least, and for each residue.
_LEAST_TIME, _TIME_PER_RESIDUE = 120.0, 4.0


def build_atoms(
    structure: gemmi.Structure,
    sequences: Mapping[str, str],
    density: MapFile,
    folder: Path,
    progress: ProgressCallback,
    *,
    kept: Iterable[tuple[str, int]] = (),
    refine: int = 0,
) -> gemmi.Structure:
    """Return the model with all atoms, short gaps closed and ends extended as far as there is density.

    Parameters
    ----------
    structure
        Main chains, numbered from 1 as in the sequences.
    sequences
        One-letter code of each chain by its name.
    density
        The map.
    folder
        For temporary files.
    kept
        (chain, number) of residues that have all their atoms already.
    refine
        Steps of real-space refinement of all atoms at the end.
    """
    kept = sorted(set(kept))
    n = structure[0].count_atom_sites()
    job = {
        "new": len(kept) < sum(len(chain) for chain in structure[0]),
        "sequences": {name: [residue_name(letter) for letter in letters] for name, letters in sequences.items()},
        "kept": kept,
        "refine": refine,
    }
    bare = structure.clone()
    for chain in bare[0]:
        for residue in chain:
            if (chain.name, residue.seqid.num) not in kept and residue.name != "GLY":
                residue.name = "ALA"
    model, _ = _run("build", bare, density, folder, progress, n / 5, **job)
    return model


def add_waters(
    structure: gemmi.Structure, density: MapFile, folder: Path, progress: ProgressCallback, sigma: float
) -> gemmi.Structure:
    """Return the model with waters at peaks above `sigma` of the (difference) map that have sensible contacts."""
    model, _ = _run("waters", structure, density, folder, progress, structure[0].count_atom_sites() / 8, sigma=sigma)
    return model


@dataclass(frozen=True)
class Checks:
    """Per residue (chain, number): correlation of its atoms with the map, probability (%) of its rotamer."""

    correlation: Mapping[tuple[str, int], float]
    rotamer: Mapping[tuple[str, int], float]


def check(structure: gemmi.Structure, density: MapFile, folder: Path, progress: ProgressCallback) -> Checks:
    """Return how well each residue fits the map and what Coot knows of side chains."""
    _, report = _run("validate", structure, density, folder, progress, structure[0].count_atom_sites() / 8)
    tables = {name: {(chain, number): value for chain, number, value in rows} for name, rows in report.items()}
    return Checks(**tables)


def _run(
    task: str,
    structure: gemmi.Structure,
    density: MapFile,
    folder: Path,
    progress: ProgressCallback,
    size: float,
    **options: Any,
) -> tuple[gemmi.Structure, dict[str, Any]]:
    folder = folder.resolve()
    files = {name: folder / f"coot-{task}-{name}" for name in ("job.json", "in.pdb", "out.pdb", "report.json")}
    structure.write_pdb(str(files["in.pdb"]))
    job = {
        "task": task,
        "threads": usable_cores(),
        "model": str(files["in.pdb"]),
        "map": str(density.path.resolve()),
        "f": density.f,
        "phi": density.phi,
        "difference": density.difference,
        "output": str(files["out.pdb"]),
        "report": str(files["report.json"]),
        **options,
    }
    files["job.json"].write_text(json.dumps(job), encoding="utf-8")

    def watch(text: str) -> None:
        said = _PROGRESS.findall(text)
        fraction, message = said[-1] if said else (None, "")
        if fraction is not None:
            progress(Progress(task, float(fraction), message))

    command = [sys.executable, "-m", "edseg_engine.building.coot_worker", str(files["job.json"])]
    package = str(Path(__file__).resolve().parents[2])
    run_child(command, folder, "Coot's engine", _LEAST_TIME + _TIME_PER_RESIDUE * size, watch, {"PYTHONPATH": package})
    model = gemmi.read_structure(str(files["out.pdb"]))
    model.setup_entities()
    return model, json.loads(files["report.json"].read_text(encoding="utf-8")) or {}
