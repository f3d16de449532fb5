"""How the time of the networks grows with the volume of the density and with the residues (thesis 5.4.3, 6.5.3).

    python -m tools.experiments.times --experimental EXPERIMENTAL --out DIR

Crystals of the split ``dev``, one orientation, the network alone, by the clock on the wall: on an idle machine. How
well a network is trained makes no difference to its time, so untrained ones are measured.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from edseg_engine.crystal.region import choose_region
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.evaluation.maps import experimental_maps
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.networks.architectures import SHAPES, build
from edseg_engine.networks.card import WeightsCard, WeightsInfo
from edseg_engine.networks.weights import Weights
from edseg_engine.pipeline import predict_map
from edseg_engine.progress import Clock
from edseg_engine.resolution import range_of_resolution
from tools.command import run_tool
from tools.experiments.core import Experiment, add_experimental, add_maps, experiment_parser, shape_of
from tools.experiments.results import Results, Row, column


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("times", "Time networks on maps of different size (thesis 6.5.3).")
    add_experimental(parser)
    add_maps(parser)
    parser.add_argument("--networks", nargs="+", choices=list(SHAPES), default=["stacknet", "fc-densenet57"])
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Measure, and write ``times.csv``, the table and the picture."""
    experiment = Experiment(args, "times")
    results = experiment.results()
    for known in itertools.islice(experimental_maps(args.experimental, "dev", 0.0, float("inf")), args.maps):
        for network in args.networks:
            results.measure({"network": network, "map": known.name}, partial(_time, experiment, known, network))
    experiment.publish(_table(results, args.networks), _draw(experiment, results))


def _time(experiment: Experiment, known: KnownMap, network: str) -> Iterator[Row]:
    weights = _untrained(network, float(known.density.d_min or 0.0), experiment.args.seed)
    region = choose_region(known.density, "auto")
    for _ in range(2):  # the first is a warm-up
        clock = Clock()
        prediction = predict_map(
            known.density, region, weights, experiment.device, orientations=1, alone=True, clock=clock
        )
    volume = int(prediction.volume.occupied.sum()) * prediction.volume.spacing**3
    yield {"volume": volume, "residues": len(known.residues.labels), "seconds": clock.timings["network"]}


def _untrained(network: str, d_min: float, seed: int) -> Weights:
    torch.manual_seed(seed)
    shape, own = shape_of(network), range_of_resolution(d_min)
    return Weights(build(shape).eval(), WeightsCard(own, shape), WeightsInfo(network, "", own.d_min, own.d_max))


def _table(results: Results, networks: Sequence[str]) -> str:
    rows = []
    for network in networks:
        chosen = results.of({"network": network})
        volume, residues, seconds = (np.array(column(chosen, name)) for name in ("volume", "residues", "seconds"))
        rates = (1e6 * seconds.sum() / volume.sum(), 1e3 * seconds.sum() / residues.sum())
        explained = [
            np.corrcoef(size, seconds)[0, 1] ** 2 if len(chosen) > 2 else np.nan for size in (volume, residues)
        ]
        rows.append([network, str(len(chosen)), *(f"{number:.3g}" for number in (*rates, *explained))])
    header = ["network", "maps", "seconds per 10⁶ Å³ of density", "seconds per 1000 residues"]
    return markdown_table([*header, "R² with volume", "R² with residues"], rows)


def _draw(experiment: Experiment, results: Results) -> Any:
    figure, grid = experiment.plt.subplots(1, 2, figsize=(9, 4), sharey=True)
    labels = {"volume": "density (Å³)", "residues": "residues"}
    for axes, (size, label) in zip(grid, labels.items(), strict=True):
        for network in experiment.args.networks:
            rows = results.of({"network": network})
            axes.scatter(column(rows, size), column(rows, "seconds"), label=network)
        axes.set(xlabel=label, ylabel="seconds")
    grid[0].legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
