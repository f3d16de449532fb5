"""Build models of crystals whose models are known and compare: ``python -m tools.building``.

Each crystal gives its measured amplitudes. Its map is phased by the refined model, or as before the structure was
solved (``edseg evaluate --phases``); phases of an experiment are given as Hendrickson-Lattman coefficients, too. Real
maps of the time before (``--solved``) are taken as they are.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.build import build
from edseg_engine.building.results import BuildOptions, BuildResult
from edseg_engine.building.votes import vote
from edseg_engine.cli.arguments import columns_parser, device_parser, network_parser
from edseg_engine.cli.evaluate import PHASES
from edseg_engine.crystal.phasing import values_at
from edseg_engine.dataset.experimental import ExperimentalCrystal
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.errors import EdsegError
from edseg_engine.evaluation.models import Comparison, compare
from edseg_engine.evaluation.protein import protein_residues
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.mtz import Column, hl_columns, map_columns, write_mtz
from edseg_engine.options import SegmentOptions
from edseg_engine.residues.known import known_residues
from tools.command import run_tool
from tools.crystals import chosen_crystals

_HEADER = [
    "crystal", "d_min (Å)", "residues", "phases", "placed", "completeness", "sequenced", "linked", "extra",
    "CA rms (Å)", "side-chain rms (Å)", "R", "R-free", "R-free of the known model", "Ramachandran outliers",
    "rotamer outliers", "clashes", "cycles", "seconds",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Case:
    """A map to build into, and what ought to come of it."""

    name: str
    phases: str
    data: Path
    known: gemmi.Structure
    sequences: tuple[str, ...]
    r_free: float | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.building",
        parents=[columns_parser(), network_parser(), device_parser()],
        description="Build known crystals and compare.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--experimental", type=Path, help="folder of experimental crystals")
    source.add_argument(
        "--solved",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders with data.mtz.gz and model.pdb.gz, the model that came of it; its sequence is given",
    )
    parser.add_argument("--split", default="dev")
    parser.add_argument("--crystals", nargs="+", help="their names (default: all of the split)")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=["refined"])
    parser.add_argument("--cycles", type=int, default=BuildOptions.cycles)
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Print a Markdown table, a row for each crystal and kind of phases as they are done, and where the time went."""
    with tempfile.TemporaryDirectory() as folder:
        cases = _solved(args.solved) if args.solved else _simulated(args, Path(folder))
        stages: Counter[str] = Counter()
        first = next(cases)  # what is wrong with the data is said before a table begins
        print(markdown_table(_HEADER, []), end="", flush=True)
        for case in itertools.chain([first], cases):
            print("| " + " | ".join(_row(case, args, stages)) + " |", flush=True)
    print("\n" + markdown_table(["stage", "seconds"], [[name, f"{time:.0f}"] for name, time in stages.items()]))


def _solved(folders: Sequence[Path]) -> Iterator[_Case]:
    for folder in folders:
        known = read_model(folder / "model.pdb.gz")
        yield _Case(folder.name, "as they are", folder / "data.mtz.gz", known, _sequences(known[0]))


def _sequences(model: gemmi.Model) -> tuple[str, ...]:
    """Return the sequences of the chains as far as they are seen, modified residues as their parents."""
    chains: dict[str, list[str]] = {}
    for residue in protein_residues(model):
        chains.setdefault(residue.chain, []).append(residue.type)
    return tuple(gemmi.one_letter_code(types) for types in chains.values())


def _is_modified(model: gemmi.Model) -> bool:
    """Return whether residues other than MSE are modified: an index leaves them out of its sequences."""
    names = {residue.name for chain in model for residue in chain.get_polymer()} - {"MSE"}
    kinds = map(gemmi.find_tabulated_residue, names)
    return any(kind.is_amino_acid() and not kind.is_standard() for kind in kinds)


def _simulated(args: argparse.Namespace, folder: Path) -> Iterator[_Case]:
    for number, entry in chosen_crystals(args.experimental, args.split, args.crystals, sequences=True):
        crystal = ExperimentalCrystal(entry)
        modified = _is_modified(crystal.structure[0])
        for phases in args.phases:
            path = entry.data_path
            if phases != "refined":
                path = folder / "initial.mtz"
                write_initial(crystal, phases, np.random.default_rng([11, number]), path)
            sequences = _sequences(crystal.structure[0]) if modified else entry.sequences
            yield _Case(entry.name, phases, path, crystal.structure, sequences, entry.r_free)


def _row(case: _Case, args: argparse.Namespace, stages: Counter[str]) -> list[str]:
    options = SegmentOptions(orientations=args.orientations, views=args.views, device=args.device, weights=args.weights)
    build_options = BuildOptions(case.sequences, cycles=args.cycles, f_label=args.f, phi_label=args.phi)
    n = str(len(known_residues(case.known[0]).labels))
    start = time.perf_counter()
    try:
        result = build(case.data, build_options, lambda density, progress: vote(density, options, progress))
    except EdsegError as error:
        head = [case.name, "", n, case.phases, f"{type(error).__name__}: {error}"]
        return head + [""] * (len(_HEADER) - len(head))
    stages.update(result.timings)
    head = [case.name, f"{result.resolution or 0:.2f}", n, case.phases]
    figures = _figures(result, compare(result.model.structure, case.known), case.r_free)
    return [*head, *figures, f"{time.perf_counter() - start:.0f}"]


def _figures(result: BuildResult, comparison: Comparison, known_r_free: float | None) -> list[str]:
    checks = result.checks
    shares = (comparison.placed, comparison.completeness, comparison.sequenced, comparison.linked, comparison.extra)
    return [
        *(f"{share:.3f}" for share in shares),
        f"{comparison.rms_ca:.2f}",
        f"{comparison.rms_side_chain:.2f}",
        *("" if r is None else f"{r:.3f}" for r in (result.r_work, result.r_free, known_r_free)),
        f"{checks.n_ramachandran_outliers / max(1, len(checks.ramachandran)):.3f}",
        f"{checks.n_rotamer_outliers / max(1, len(checks.rotamer)):.3f}",
        str(checks.n_clashes),
        str(len(result.cycles)),
    ]


def write_initial(crystal: ExperimentalCrystal, phases: str, rng: np.random.Generator, path: Path) -> None:
    """Write the crystal's reflections with map coefficients as before the structure was solved."""
    initial = crystal.initial_phases(crystal.entry.d_min, TYPICAL[phases], rng)
    new = map_columns(initial.amplitudes * initial.centroids)
    if TYPICAL[phases].kind == "experimental":
        new |= hl_columns(initial.centroids)
    mtz = gemmi.read_mtz_file(str(crystal.entry.data_path))
    mtz.ensure_asu()
    miller = mtz.make_miller_array()
    columns: dict[str, Column] = {column.label: (column.type, column.array) for column in mtz.columns[3:]}
    for label, (kind, values) in new.items():
        columns[label] = (kind, values_at(miller, initial.miller, values, np.nan))
    write_mtz(path, mtz.cell, mtz.spacegroup, miller, columns)


if __name__ == "__main__":
    raise SystemExit(main())
