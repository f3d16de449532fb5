"""Dense blocks with and without concatenations: table 5.2 and figure 5.7 of the thesis.

    python -m tools.experiments.concatenations --structures STRUCTURES --out DIR

Each network is trained from scratch; loss and IoU are measured on windows of the split ``val``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.training.plot import read_log
from tools.command import run_tool
from tools.experiments.core import (
    Experiment,
    add_resolutions,
    add_training,
    dense_network,
    experiment_parser,
    fixed_range,
    shape_of,
)
from tools.experiments.results import Results, Row, column
from tools.experiments.windows import gradient_norms, validation_batches, window_figures

#: What is added to the name of a network, and its line style in the picture.
_VARIANTS = {"": "-", "-no-concatenations": "--"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("concatenations", "Ablate the concatenations of FC-DenseNet (thesis, table 5.2).")
    add_training(parser)
    add_resolutions(parser)
    parser.add_argument("--validation-windows", type=int, default=200, help="default: %(default)s")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, measure, and write ``concatenations.csv``, ``gradients.csv``, the table and the picture."""
    experiment = Experiment(args, "concatenations")
    results, gradients = experiment.results(), experiment.results("gradients")
    for d_min in args.resolutions:
        for variant in _VARIANTS:
            key = {"resolution": f"{d_min:g}", "network": dense_network(d_min) + variant}
            results.measure(key, partial(_figures, experiment, d_min, key["network"]))
            gradients.measure(key, partial(_gradients, experiment, d_min, key["network"]))
    experiment.publish(_table(results, args.resolutions), _draw(experiment, results, gradients))


def _run_name(d_min: float, network: str) -> str:
    return f"{network}-{d_min:g}A"


def _batches_and_weights(experiment: Experiment, d_min: float, network: str) -> tuple[list[Any], Path]:
    fixed = fixed_range(d_min)
    weights = experiment.train(_run_name(d_min, network), shape_of(network), fixed)
    n, data = experiment.args.validation_windows, experiment.data(split="val")
    return validation_batches(data, fixed, experiment.train_options, n), weights


def _figures(experiment: Experiment, d_min: float, network: str) -> Iterator[Row]:
    batches, weights = _batches_and_weights(experiment, d_min, network)
    yield window_figures(weights, batches, experiment.train_options)


def _gradients(experiment: Experiment, d_min: float, network: str) -> Iterator[Row]:
    batches, weights = _batches_and_weights(experiment, d_min, network)
    for layer, norm in gradient_norms(weights, batches[:8], experiment.train_options).items():
        yield {"layer": layer, "norm": norm}


def _table(results: Results, resolutions: Sequence[float]) -> str:
    rows = []
    for d_min in resolutions:
        normal, without = results.of({"resolution": f"{d_min:g}"})
        iou = [float(row["iou"]) for row in (normal, without)]
        gain = f"{iou[0] / iou[1] - 1:.2%}" if iou[1] else ""
        rows.append([f"{d_min:g} Å", *(f"{value:.4f}" for value in iou), gain, normal["loss"], without["loss"]])
    return markdown_table(["resolution", "IoU", "without concatenations", "difference", "loss", "without"], rows)


def _draw(experiment: Experiment, results: Results, gradients: Results) -> Any:
    figure, (top, middle, bottom) = experiment.plt.subplots(3, 1, figsize=(8, 10))
    for number, row in enumerate(results.rows):
        variant = row["network"].removeprefix(dense_network(float(row["resolution"])))
        style = {"linestyle": _VARIANTS[variant], "color": f"C{number // len(_VARIANTS)}"}
        key = {name: row[name] for name in ("resolution", "network")}
        log = read_log(experiment.folder / _run_name(float(row["resolution"]), row["network"]) / "log.csv")
        top.plot(log.get("windows", []), log.get("loss", []), label=f"{row['resolution']} Å{variant}", **style)
        middle.bar(number, float(row["iou"]), color=style["color"], alpha=0.5 if variant else 1.0)
        norms = gradients.of(key)
        bottom.plot([i / len(norms) for i in range(len(norms))], column(norms, "norm"), **style)
    top.set(xlabel="windows seen", ylabel="training loss")
    top.legend(fontsize="small")
    middle.set(ylabel="IoU of validation windows", xticks=[])
    bottom.set(xlabel="place of the layer, from input to output", ylabel="relative norm of the gradient", yscale="log")
    return figure


if __name__ == "__main__":
    sys.exit(main())
