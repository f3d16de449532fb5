"""All atoms, waters and checks through Coot's engine, each task in a child process."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi

from edseg_engine.building.child import run_child, usable_cores
from edseg_engine.building.coordinates import residue_name
from edseg_engine.building.records import Address, MapFile, Model
from edseg_engine.building.results import Checks
from edseg_engine.errors import ProgramCrash
from edseg_engine.progress import Progress, ProgressCallback

_PROGRESS = re.compile(r"^@progress (\S+) (.*)$", re.MULTILINE)
#: Seconds that a task may take: at least, and for each atom.
_LEAST_TIME, _TIME_PER_ATOM = 300.0, 1.0


def build_atoms(
    model: Model,
    density: MapFile,
    folder: Path,
    progress: ProgressCallback,
    *,
    kept: Iterable[Address] = (),
    doubtful: Iterable[Address] = (),
    refine: int = 0,
) -> Model:
    """Return the model with all atoms, short gaps closed and ends extended as far as there is density.

    Parameters
    ----------
    model
        Main chains.
    density
        The map.
    folder
        For temporary files.
    kept
        (chain, number) of residues that have all their atoms already and need not move.
    doubtful
        Of residues to be removed unless there is density for them.
    refine
        Steps of real-space refinement of all atoms at the end.
    """
    keep = set(kept)
    bare = model.structure.clone()
    for chain in bare[0]:
        for residue in chain:
            if (chain.name, residue.seqid.num) not in keep and residue.name != "GLY":
                residue.name = "ALA"
    options = {"sequences": _names(model), "kept": sorted(keep), "doubtful": sorted(doubtful), "refine": refine}
    built, _ = _run("build", bare, density, folder, progress, **options)
    return replace(model, structure=built)


def polish(
    model: Model, density: MapFile, difference: MapFile | None, folder: Path, progress: ProgressCallback, sigma: float
) -> Model:
    """Return a refined model with what its map shows besides.

    Gaps are closed and ends extended, Ramachandran outliers refined in real space, peptides turned that face the wrong
    way, side chains fitted anew that are unlikely or lie outside the density. Where there is a `difference` map, it
    tells of more peptides to turn, and waters are added at its peaks above `sigma` that have sensible contacts.
    """
    waters = None
    if difference is not None:
        waters = {"map": str(difference.path.resolve()), "f": difference.f, "phi": difference.phi, "sigma": sigma}
    built, _ = _run("polish", model.structure, density, folder, progress, sequences=_names(model), waters=waters)
    return replace(model, structure=built)


def _names(model: Model) -> dict[str, list[str]]:
    """Return the residue names of each chain's sequence."""
    return {chain: [residue_name(letter) for letter in letters] for chain, letters in model.sequences.items()}


def check(model: Model, density: MapFile, folder: Path, progress: ProgressCallback) -> Checks:
    """Return how well each residue fits the map and the shapes that residues have."""
    _, report = _run("validate", model.structure, density, folder, progress, sequences=_names(model))
    clashes = report.pop("clashes")
    tables = {name: {(chain, number): value for chain, number, value in rows} for name, rows in report.items()}
    return Checks(**tables, n_clashes=clashes)


def _run(
    task: str,
    structure: gemmi.Structure,
    density: MapFile,
    folder: Path,
    progress: ProgressCallback,
    **options: Any,
) -> tuple[gemmi.Structure, dict[str, Any]]:
    folder = folder.resolve()
    files = {name: folder / f"coot-{task}-{name}" for name in ("job.json", "in.pdb", "out.pdb", "report.json")}
    bare = structure.clone()
    bare.connections.clear()  # the engine crashes where it refines one end of a bond that is written down
    bare.write_pdb(str(files["in.pdb"]))
    job = {
        "task": task,
        "model": str(files["in.pdb"]),
        "map": str(density.path.resolve()),
        "f": density.f,
        "phi": density.phi,
        "output": str(files["out.pdb"]),
        "report": str(files["report.json"]),
        **options,
    }

    def watch(text: str) -> None:
        said = _PROGRESS.findall(text)
        fraction, message = said[-1] if said else (None, "")
        if fraction is not None:
            progress(Progress(task, float(fraction), message))

    command = [sys.executable, "-m", "edseg_engine.building.coot_worker", str(files["job.json"])]
    package = str(Path(__file__).resolve().parents[2])

    def run(threads: int) -> None:
        files["job.json"].write_text(json.dumps({**job, "threads": threads}), encoding="utf-8")
        timeout = _LEAST_TIME + _TIME_PER_ATOM * structure[0].count_atom_sites()
        run_child(command, folder, "Coot's engine", timeout, watch, {"PYTHONPATH": package})

    try:
        run(usable_cores())
    except ProgramCrash:  # rarely, its threads get in each other's way
        run(1)
    model = gemmi.read_structure(str(files["out.pdb"]))
    model.setup_entities()
    return model, json.loads(files["report.json"].read_text(encoding="utf-8")) or {}
