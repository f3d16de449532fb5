"""MT-StackNet with and without Skip Blocks and a bottleneck: table 6.1 of the thesis.

    python -m tools.experiments.blocks --structures STRUCTURES --out DIR

At 3 Å, as in the thesis, scored on whole maps of the split ``val``, with the number of residues given. The bottleneck
is a level below the lowest, which the thesis removed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from edseg_engine.evaluation.tables import markdown_table
from tools.command import run_tool
from tools.experiments.core import (
    Experiment,
    add_maps,
    add_training,
    decimals,
    experiment_parser,
    fixed_range,
    located_figures,
    shape_of,
)
from tools.experiments.results import Row, column

_D_MIN = 3.0
_NETWORKS = {
    "stacknet-bottleneck-no-skip-blocks": ("without", "with"),
    "stacknet-no-skip-blocks": ("without", "without"),
    "stacknet-bottleneck": ("with", "with"),
    "stacknet": ("with", "without"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("blocks", "Ablate Skip Blocks and bottleneck of MT-StackNet (thesis, table 6.1).")
    add_training(parser)
    add_maps(parser)
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, measure, and write ``blocks.csv``, the table and the picture."""
    experiment = Experiment(args, "blocks")
    results = experiment.results()
    for network in _NETWORKS:
        results.measure({"network": network}, partial(_figures, experiment, network))
    figures = ("iou", "dice", "rank1")
    rows = [[*_NETWORKS[row["network"]], *decimals(row, figures)] for row in results.rows]
    figure, axes = experiment.plt.subplots(figsize=(7, 3))
    for number, name in enumerate(figures):
        axes.barh(np.arange(len(rows)) + 0.25 * number, column(results.rows, name), 0.25, label=name)
    axes.set_yticks(np.arange(len(rows)) + 0.25, list(_NETWORKS))
    axes.legend()
    header = ["Skip Blocks", "bottleneck", "semantic IoU", "instance Dice", "rank-1"]
    experiment.publish(markdown_table(header, rows), figure)


def _figures(experiment: Experiment, network: str) -> Iterator[Row]:
    weights = experiment.train(network, shape_of(network), fixed_range(_D_MIN))
    yield located_figures(experiment.located(weights, experiment.simulated(_D_MIN)))


if __name__ == "__main__":
    sys.exit(main())
