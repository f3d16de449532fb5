"""Experimental maps before and after fine-tuning on such: table 5.4 of the thesis.

    python -m tools.experiments.fine_tuning --structures STRUCTURES --experimental EXPERIMENTAL --out DIR

A network is trained on simulated maps of one resolution, then on the experimental crystals of the split ``train``
around it. Scored are simulated maps of the split ``val``, and experimental ones of the split ``dev``, with the
locations of residues given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.networks.architectures import SHAPES
from tools.command import run_tool
from tools.experiments.core import (
    Experiment,
    add_experimental,
    add_maps,
    add_resolutions,
    add_training,
    decimals,
    dense_network,
    experiment_parser,
    fixed_range,
    given_figures,
    shape_of,
    thesis_range,
)
from tools.experiments.results import Results, Row, column

_STAGES = ("simulated", "experimental", "experimental, fine-tuned")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("fine_tuning", "Fine-tune on experimental maps (thesis, table 5.4).")
    add_training(parser)
    add_experimental(parser)
    add_maps(parser)
    add_resolutions(parser)
    parser.add_argument("--network", choices=list(SHAPES), help="default: the FC-DenseNet for the resolution")
    parser.add_argument("--fine-tuning-windows", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--fine-tuning-rate", type=float, default=3e-4, help="learning rate (default: %(default)s)")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, fine-tune, measure, and write ``fine_tuning.csv``, the table and the picture."""
    experiment = Experiment(args, "fine_tuning")
    results = experiment.results()
    for d_min in args.resolutions:
        for stage in _STAGES:
            results.measure({"resolution": f"{d_min:g}", "maps": stage}, partial(_figures, experiment, d_min, stage))
    experiment.publish(_table(results), _draw(experiment, results))


def _figures(experiment: Experiment, d_min: float, stage: str) -> Iterator[Row]:
    network = experiment.args.network or dense_network(d_min)
    weights = experiment.train(f"{network}-{d_min:g}A", shape_of(network), fixed_range(d_min))
    if stage == _STAGES[0]:
        yield given_figures(experiment.given(weights, experiment.simulated(d_min)))
        return
    maps = experiment.experimental(d_min)
    if stage == _STAGES[2]:
        weights = _fine_tuned(experiment, d_min, network, weights)
    yield given_figures(experiment.given(weights, maps))


def _fine_tuned(experiment: Experiment, d_min: float, network: str, weights: Path) -> Path:
    args = experiment.args
    return experiment.train(
        f"{network}-{d_min:g}A-fine-tuned",
        shape_of(network),
        thesis_range(d_min),
        experiment.data(experimental=args.experimental, experimental_share=1.0),
        weights,
        windows=args.fine_tuning_windows,
        learning_rate=args.fine_tuning_rate,
    )


def _table(results: Results) -> str:
    rows = [[f"{r['resolution']} Å", r["maps"], *decimals(r, ("rank1", "rank3", "iou"))] for r in results.rows]
    return markdown_table(["network for", "maps", "rank-1", "rank-3", "IoU"], rows)


def _draw(experiment: Experiment, results: Results) -> Any:
    figure, axes = experiment.plt.subplots(figsize=(7, 4))
    resolutions = [f"{d_min:g}" for d_min in experiment.args.resolutions]
    for number, stage in enumerate(_STAGES):
        rows = [row for resolution in resolutions for row in results.of({"resolution": resolution, "maps": stage})]
        axes.bar(np.arange(len(rows)) + 0.25 * number, column(rows, "rank1"), 0.25, label=stage)
    axes.set_xticks(np.arange(len(resolutions)) + 0.25, [f"{resolution} Å" for resolution in resolutions])
    axes.set(ylabel="rank-1", ylim=(0, 1))
    axes.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    sys.exit(main())
