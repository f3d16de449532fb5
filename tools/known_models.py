"""Refine the protein and the waters of known models as ``edseg build`` refines: ``python -m tools.known_models``.

What a built model can reach: ``edseg build`` builds no ligands, sugars and ions, and refines with servalcat.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gemmi

from edseg_engine.building.refinement import refine
from edseg_engine.dataset.experimental import ExperimentalCrystal
from edseg_engine.errors import EdsegError, TrainingDataError
from edseg_engine.io.names import shown
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.progress import ignore_progress
from tools.command import run_tool
from tools.crystals import chosen_crystals

_CYCLES = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.known_models", description="Refine known models without what edseg does not build."
    )
    parser.add_argument("--experimental", type=Path, required=True, help="folder of experimental crystals")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--crystals", nargs="+", required=True, help="their names")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Print a Markdown table, a row for each crystal as it is done."""
    print("| crystal | left out | R-free as it is | R / R-free, refined |\n|---|---|---:|---:|", flush=True)
    for _, entry in chosen_crystals(args.experimental, args.split, args.crystals):
        structure, left_out = protein_and_waters(ExperimentalCrystal(entry).structure)
        try:
            amplitudes = read_amplitudes(entry.data_path)
            if amplitudes is None:
                raise TrainingDataError(f"{shown(entry.data_path)} holds no amplitudes.")
            with tempfile.TemporaryDirectory() as folder:
                refined = refine(structure, amplitudes, Path(folder), ignore_progress, cycles=_CYCLES)
            figures = f"{refined.r_work[-1]:.3f} / {refined.r_free[-1]:.3f}"
        except EdsegError as error:
            figures = f"{type(error).__name__}: {error}"
        known = "" if entry.r_free is None else f"{entry.r_free:.3f}"
        print(f"| {entry.name} | {', '.join(sorted(left_out))} | {known} | {figures} |", flush=True)


def protein_and_waters(structure: gemmi.Structure) -> tuple[gemmi.Structure, set[str]]:
    """Return a model without all else, and the names of what was left out."""
    structure, left_out = structure.clone(), set()
    for chain in structure[0]:
        for place in reversed(range(len(chain))):
            kind = gemmi.find_tabulated_residue(chain[place].name)
            if not kind.is_amino_acid() and not kind.is_water():
                left_out.add(chain[place].name)
                del chain[place]
    structure.remove_empty_chains()
    structure.connections.clear()
    return structure, left_out


if __name__ == "__main__":
    raise SystemExit(main())
