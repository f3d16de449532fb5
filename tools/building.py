"""Build models of crystals whose models are known and compare: ``python -m tools.building``.

Each crystal gives its measured amplitudes. Its map is phased by the refined model, or as before the structure was
solved (``edseg evaluate --phases``); phases of an experiment are given as Hendrickson-Lattman coefficients, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.build import build
from edseg_engine.building.results import BuildOptions, BuildResult
from edseg_engine.building.votes import vote
from edseg_engine.cli.arguments import device_parser, network_parser
from edseg_engine.cli.evaluate import PHASES
from edseg_engine.crystal.phasing import values_at
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry, read_index
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.errors import EdsegError, OptionError, TrainingDataError
from edseg_engine.evaluation.models import Comparison, compare
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.io.mtz import Column, hl_columns, map_columns, write_mtz
from edseg_engine.io.names import shown
from edseg_engine.options import SegmentOptions
from tools.command import run_tool

_HEADER = [
    "crystal", "d_min (Å)", "residues", "phases", "completeness", "sequenced", "linked", "false", "CA rms (Å)",
    "side-chain rms (Å)", "R", "R-free", "R-free of the known model", "Ramachandran outliers", "rotamer outliers",
    "cycles", "seconds",
]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.building",
        parents=[network_parser(), device_parser()],
        description="Build known crystals and compare.",
    )
    parser.add_argument("--experimental", type=Path, required=True, help="folder of experimental crystals")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--crystals", nargs="*", help="their names (default: all of the split)")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=["refined"])
    parser.add_argument("--cycles", type=int, default=8)
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Print a Markdown table, one row for each crystal and kind of phases, as they are done."""
    entries = read_index(args.experimental, args.split)
    if unknown := set(args.crystals or ()) - {entry.name for entry in entries}:
        raise OptionError(f"There are no such crystals in the split {args.split!r}: {', '.join(sorted(unknown))}.")
    chosen = [(i, entry) for i, entry in enumerate(entries) if not args.crystals or entry.name in args.crystals]
    if bare := [entry.name for _, entry in chosen if not entry.sequences]:
        raise TrainingDataError(
            f"{shown(args.experimental / 'index.tsv')} gives no sequences of {', '.join(bare)}: it needs a column "
            "'sequences'."
        )
    print(markdown_table(_HEADER, []), end="", flush=True)
    for number, entry in chosen:
        for phases in args.phases:
            print("| " + " | ".join(_row(entry, number, phases, args)) + " |", flush=True)


def _row(entry: ExperimentalEntry, number: int, phases: str, args: argparse.Namespace) -> list[str]:
    crystal = ExperimentalCrystal(entry)
    head = [entry.name, f"{entry.d_min:.2f}", str(len(crystal.residues.labels)), phases]
    options = SegmentOptions(orientations=args.orientations, views=args.views, device=args.device, weights=args.weights)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = entry.data_path
        if phases != "refined":
            path = Path(folder) / "initial.mtz"
            write_initial(crystal, phases, np.random.default_rng([11, number]), path)
        try:
            result = build(
                path,
                BuildOptions(sequences=entry.sequences, cycles=args.cycles),
                lambda density, progress: vote(density, options, progress),
            )
        except EdsegError as error:
            return [*head, f"{type(error).__name__}: {error}"] + [""] * (len(_HEADER) - len(head) - 1)
    figures = _figures(result, compare(result.model, crystal.structure), entry.r_free)
    return [*head, *figures, f"{time.perf_counter() - start:.0f}"]


def _figures(result: BuildResult, comparison: Comparison, known_r_free: float | None) -> list[str]:
    checks, n = result.checks, max(1, len(result.model.residues))
    shares = (comparison.completeness, comparison.sequenced, comparison.linked, comparison.false)
    return [
        *(f"{share:.3f}" for share in shares),
        f"{comparison.rms_ca:.2f}",
        f"{comparison.rms_side_chain:.2f}",
        *("" if r is None else f"{r:.3f}" for r in (result.r_work, result.r_free, known_r_free)),
        f"{checks.n_ramachandran_outliers / n:.3f}",
        f"{checks.n_rotamer_outliers / n:.3f}",
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
