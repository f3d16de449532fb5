"""FC-DenseNet49 with and without adaptive zero padding, at 4 Å: the second ablation of the thesis (5.3.1, 5.4.1).

    python -m tools.experiments.padding --structures STRUCTURES --out DIR

In the thesis's windows of 36 voxels maps of odd size meet others, in windows of 48 voxels none do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from edseg_engine.errors import OptionError
from edseg_engine.evaluation.tables import markdown_table
from tools.command import run_tool
from tools.experiments.core import Experiment, add_training, experiment_parser, fixed_range, shape_of
from tools.experiments.results import Row, column
from tools.experiments.windows import validation_batches, window_figures

_NETWORKS = ("fc-densenet49", "fc-densenet49-no-padding")
_WINDOWS = (36, 48)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("padding", "Ablate the zero padding of FC-DenseNet (thesis 5.4.1).")
    add_training(parser)
    parser.add_argument("--validation-windows", type=int, default=200, help="default: %(default)s")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, measure, and write ``padding.csv``, the table and the picture."""
    experiment = Experiment(args, "padding")
    results = experiment.results()
    for window in _WINDOWS:
        for network in _NETWORKS:
            results.measure({"network": network, "window": str(window)}, partial(_figures, experiment, network, window))
    figure, axes = experiment.plt.subplots(figsize=(7, 3))
    axes.barh([f"{row['network']}, {row['window']} voxels" for row in results.rows], column(results.rows, "iou"))
    axes.set_xlabel("IoU of validation windows; none where training failed")
    rows = [list(row.values()) for row in results.rows]
    experiment.publish(markdown_table(["network", "window", "loss", "IoU", "outcome"], rows), figure)


def _figures(experiment: Experiment, network: str, window: int) -> Iterator[Row]:
    fixed = replace(fixed_range(4.0), window=window)
    try:
        weights = experiment.train(f"{network}-{window}", shape_of(network), fixed)
    except OptionError as error:  # raised by the network when maps do not fit
        yield {"loss": float("nan"), "iou": float("nan"), "outcome": str(error)}
        return
    options = experiment.train_options
    batches = validation_batches(experiment.data(split="val"), fixed, options, experiment.args.validation_windows)
    yield {**window_figures(weights, batches, options), "outcome": "trained"}


if __name__ == "__main__":
    sys.exit(main())
