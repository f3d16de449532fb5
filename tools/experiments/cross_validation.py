"""Five-fold cross-validation over proteins: table 5.3 of the thesis.

    python -m tools.experiments.cross_validation --structures STRUCTURES --out DIR

For each fold a network is trained on the proteins of the others in the split ``train``, and scored on whole maps of
this one, with the locations of residues given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from edseg_engine.dataset.criteria import N_FOLDS
from edseg_engine.evaluation.tables import markdown_table
from tools.command import run_tool
from tools.experiments.core import (
    Experiment,
    add_maps,
    add_resolutions,
    add_training,
    decimals,
    dense_network,
    experiment_parser,
    fixed_range,
    given_figures,
    shape_of,
)
from tools.experiments.results import Results, Row, column

_FIGURES = {
    "iou": "IoU",
    "true_positive": "true positives",
    "true_negative": "true negatives",
    "f1": "F1",
    "rank1": "rank-1",
    "rank3": "rank-3",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("cross_validation", "Cross-validate FC-DenseNet over proteins (thesis, table 5.3).")
    add_training(parser)
    add_maps(parser)
    add_resolutions(parser)
    parser.add_argument(
        "--folds",
        type=int,
        nargs="+",
        choices=range(1, N_FOLDS + 1),
        default=list(range(1, N_FOLDS + 1)),
        metavar="N",
        help=f"of 1 to {N_FOLDS} (default: all)",
    )
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, measure, and write ``cross_validation.csv``, the table and the picture."""
    experiment = Experiment(args, "cross_validation")
    results = experiment.results()
    for d_min in args.resolutions:
        for fold in args.folds:
            key = {"resolution": f"{d_min:g}", "fold": str(fold)}
            results.measure(key, partial(_figures, experiment, d_min, fold))
    experiment.publish(_table(results), _draw(experiment, results))


def _figures(experiment: Experiment, d_min: float, fold: int) -> Iterator[Row]:
    network, data = dense_network(d_min), experiment.data(left_out_fold=fold)
    weights = experiment.train(f"{network}-{d_min:g}A-fold-{fold}", shape_of(network), fixed_range(d_min), data)
    yield given_figures(experiment.given(weights, experiment.simulated(d_min, "train", fold)))


def _table(results: Results) -> str:
    """Return one row for each fold, the best of a resolution in bold, as in the thesis."""
    rows = []
    for row in results.rows:
        best = max(column(results.of({"resolution": row["resolution"]}), "rank1"))
        cells = [f"{row['resolution']} Å", row["fold"], *decimals(row, _FIGURES)]
        rows.append([f"**{cell}**" for cell in cells] if float(row["rank1"]) == best else cells)
    return markdown_table(["resolution", "fold", *_FIGURES.values()], rows)


def _draw(experiment: Experiment, results: Results) -> Any:
    figure, axes = experiment.plt.subplots(figsize=(7, 4))
    for name in ("iou", "rank1", "rank3"):
        for d_min in experiment.args.resolutions:
            rows = results.of({"resolution": f"{d_min:g}"})
            axes.plot(column(rows, "fold"), column(rows, name), marker="o", label=f"{_FIGURES[name]}, {d_min:g} Å")
    axes.set(xlabel="fold", ylabel="fraction", ylim=(0, 1))
    axes.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    sys.exit(main())
