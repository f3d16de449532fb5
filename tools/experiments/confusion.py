"""Which residues are confused, and whether those that are alike are: figure 5.8 of the thesis.

    python -m tools.experiments.confusion --structures STRUCTURES --out DIR
    python -m tools.experiments.confusion --structures STRUCTURES --out DIR --weights WEIGHTS

The locations of residues are given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edseg_engine.evaluation.metrics import total
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.labels import LABELS
from edseg_engine.networks.weights import weights_folder
from edseg_engine.resolution import range_of_resolution
from tools.command import run_tool
from tools.experiments.core import Experiment, add_maps, add_structures, experiment_parser
from tools.experiments.results import Row
from tools.experiments.similarity import THESIS, blosum62, rank_correlation, shares


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("confusion", "Compare confusions with the similarity of residues (thesis, figure 5.8).")
    add_structures(parser)
    add_maps(parser)
    parser.add_argument("--resolution", type=float, default=4.0, help="of the maps, in Å (default: %(default)s)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the shipped ones for the resolution")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Score, and write ``confusion.csv``, the tables and the picture."""
    experiment = Experiment(args, "confusion")
    rows = experiment.results().measure({}, partial(_rows, experiment))
    confusion = np.array([[float(row[label]) for label in LABELS] for row in rows])
    similarity = blosum62()
    experiment.publish(_table(confusion, similarity), _draw(experiment, {"edseg": confusion, "thesis": THESIS}))


def _rows(experiment: Experiment) -> Iterator[Row]:
    args = experiment.args
    weights = args.weights or weights_folder() / f"{range_of_resolution(args.resolution).name}.safetensors"
    scores = experiment.given(weights, experiment.simulated(args.resolution))
    counts = total([score.residues for score in scores])
    for label, row in zip(LABELS, counts.confusion.tolist(), strict=True):
        yield {"true": label, **dict(zip(LABELS, row, strict=True))}


def _table(confusion: NDArray[np.float64], similarity: NDArray[np.float64]) -> str:
    ours = shares(confusion)
    rows = [[label, *(f"{share:.2f}" for share in row)] for label, row in zip(LABELS, ours, strict=True)]
    compared = {
        "confusions and BLOSUM62": (ours, similarity),
        "confusions of the thesis and BLOSUM62": (THESIS, similarity),
        "confusions and those of the thesis": (ours, THESIS),
    }
    correlations = [[name, *(f"{n:.3g}" for n in rank_correlation(*pair))] for name, pair in compared.items()]
    heading = ["over pairs of classes", "Spearman's rank correlation", "p"]
    return markdown_table(["true", *LABELS], rows) + "\n" + markdown_table(heading, correlations)


def _draw(experiment: Experiment, confusions: dict[str, NDArray[Any]]) -> Any:
    figure, grid = experiment.plt.subplots(1, len(confusions), figsize=(7 * len(confusions), 6.5))
    for axes, (name, confusion) in zip(grid, confusions.items(), strict=True):
        axes.imshow(shares(confusion), cmap="Blues", vmin=0, vmax=1)
        axes.set(title=name, xlabel="named", ylabel="true")
        axes.set_xticks(range(len(LABELS)), LABELS, rotation=90)
        axes.set_yticks(range(len(LABELS)), LABELS)
    return figure


if __name__ == "__main__":
    sys.exit(main())
