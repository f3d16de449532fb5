"""How results depend on the quality of the model behind a map: figures 5.11 and 6.8 of the thesis.

    python -m tools.experiments.r_free --experimental EXPERIMENTAL --out DIR
    python -m tools.experiments.r_free --experimental EXPERIMENTAL --out DIR --weights WEIGHTS

All crystals of the split ``dev`` whose R-free the index states, as `edseg evaluate` reads them. Networks that cannot
locate residues are given the locations.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from edseg_engine.dataset.experimental import read_index
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.errors import TrainingDataError
from edseg_engine.evaluation.evaluate import Protocol, score_map
from edseg_engine.evaluation.given import score_given
from edseg_engine.evaluation.maps import experimental_maps
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.networks.weights import choose_weights
from edseg_engine.resolution import RANGES, range_of_resolution
from tools.command import run_tool
from tools.experiments.core import Experiment, add_experimental, add_maps, experiment_parser
from tools.experiments.results import Results, Row, column


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("r_free", "Compare accuracy with R-free (thesis, figures 5.11 and 6.8).")
    add_experimental(parser)
    add_maps(parser)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the shipped ones for each resolution")
    parser.add_argument("--orientations", type=int, default=1, help="default: %(default)s")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Score, and write ``r_free.csv``, the table and the picture."""
    experiment = Experiment(args, "r_free")
    results = experiment.results()
    r_free = {entry.name: entry.r_free for entry in read_index(args.experimental, "dev") if entry.r_free is not None}
    if not r_free:
        raise TrainingDataError(f"{args.experimental / 'index.tsv'} states no r_free of the split dev.")
    maps = (k for k in experimental_maps(args.experimental, "dev", 0.0, float("inf")) if k.name in r_free)
    for known in itertools.islice(maps, args.maps):
        results.measure({"map": known.name}, partial(_figures, experiment, known, r_free[known.name]))
    experiment.publish(_table(results), _draw(experiment, results))


def _figures(experiment: Experiment, known: KnownMap, r_free: float) -> Iterator[Row]:
    args, d_min = experiment.args, float(known.density.d_min or 0.0)
    weights = choose_weights(args.weights, range_of_resolution(d_min))
    protocol = Protocol(args.orientations)
    if weights.net.config.points:
        counts = score_map(known, weights, experiment.device, protocol).k_given
    else:
        counts = score_given(known, weights, experiment.device, protocol).residues
    figures = counts.figures()
    own: dict[str, str | float] = {"range": range_of_resolution(d_min).name, "d_min": d_min, "r_free": r_free}
    yield {**own, "residues": int(counts.true.sum()), **{key: figures[key] for key in ("rank1", "rank3", "recall")}}


def _table(results: Results) -> str:
    rows = []
    for name in [r.name for r in RANGES]:
        chosen = results.of({"range": name})
        if len(chosen) > 2:  # with two maps, every correlation is perfect
            r_free, rank1, d_min = (column(chosen, name) for name in ("r_free", "rank1", "d_min"))
            found = spearmanr(r_free, rank1)
            numbers = (sum(rank1) / len(chosen), found.statistic, found.pvalue, spearmanr(r_free, d_min).statistic)
            rows.append([name, str(len(chosen)), *(f"{n:.3g}" for n in numbers)])
    maps = [[r["map"], r["d_min"], r["r_free"], r["residues"], r["rank1"], r["rank3"]] for r in results.rows]
    heading = ["resolution", "maps", "mean rank-1", "rank correlation of rank-1 and R-free", "p", "of d_min and R-free"]
    return (
        markdown_table(heading, rows)
        + "\n"
        + markdown_table(["map", "d_min (Å)", "R-free", "residues", "rank-1", "rank-3"], maps)
    )


def _draw(experiment: Experiment, results: Results) -> Any:
    figure, grid = experiment.plt.subplots(1, 2, figsize=(9, 4), sharey=True)
    for axes, rank in zip(grid, ("rank1", "rank3"), strict=True):
        for name in [r.name for r in RANGES]:
            rows = results.of({"range": name})
            axes.scatter(column(rows, "r_free"), column(rows, rank), label=name)
        axes.set(xlabel="R-free", ylabel=rank, ylim=(0, 1))
    grid[0].legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
