"""MT-StackNet against FC-DenseNet, or any other networks: tables 6.2 and 6.3 and figure 6.6 of the thesis.

    python -m tools.experiments.networks --weights A=FILE B=FILE --resolution 3 --structures STRUCTURES --out DIR
    python -m tools.experiments.networks --weights A=FILE B=FILE --resolution 3 --experimental CRYSTALS --out DIR

Simulated maps of the split ``val``, or experimental ones of the split ``dev`` around the resolution. All networks name
residues at given locations; those that locate residues do so, too, with their number given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.evaluation.metrics import total
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.labels import LABELS
from edseg_engine.networks.weights import network_of
from tools.command import run_tool
from tools.experiments.core import (
    RESOLUTIONS,
    Experiment,
    add_maps,
    decimals,
    experiment_parser,
    given_figures,
    located_figures,
)
from tools.experiments.results import Results, Row, column

_GIVEN, _LOCATED = "given", "located"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("networks", "Compare networks on the same maps (thesis, tables 6.2 and 6.3).")
    add_maps(parser)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--structures", type=Path, metavar="DIR", help="simulate maps of the structures of a folder")
    data.add_argument("--experimental", type=Path, metavar="DIR", help="take the experimental crystals of a folder")
    parser.add_argument("--weights", nargs="+", type=_named_file, required=True, metavar="NAME=FILE")
    parser.add_argument("--resolution", type=float, choices=RESOLUTIONS, required=True, metavar="Å", help="2, 3 or 4")
    return run_tool(parser, run, argv)


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not name or not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, Path(path)


def run(args: argparse.Namespace) -> None:
    """Score, and write ``networks.csv``, the table and the picture."""
    experiment = Experiment(args, "networks")
    results = experiment.results()
    for name, path in args.weights:
        for instances in (_GIVEN, _LOCATED) if network_of(path).points else (_GIVEN,):
            key = {"network": name, "instances": instances}
            results.measure(key, partial(_figures, experiment, path, instances))
    experiment.publish(_table(results), _draw(experiment, results))


def _maps(experiment: Experiment) -> list[KnownMap]:
    d_min = experiment.args.resolution
    return experiment.simulated(d_min) if experiment.args.structures else experiment.experimental(d_min)


def _figures(experiment: Experiment, weights: Path, instances: str) -> Iterator[Row]:
    maps = _maps(experiment)
    if instances == _GIVEN:
        given = experiment.given(weights, maps)
        figures, counts = {**given_figures(given), "dice": float("nan")}, total([s.residues for s in given])
    else:
        located = experiment.located(weights, maps)
        figures, counts = located_figures(located), total([s.k_given for s in located])
    by_class = counts.rank1 / np.maximum(counts.true, 1)
    sizes: dict[str, float] = {"maps": len(maps), "residues": int(counts.true.sum())}
    yield {**sizes, **figures, **dict(zip(LABELS, by_class.tolist(), strict=True))}


def _table(results: Results) -> str:
    figures = ("iou", "dice", "rank1", "rank3", "label_precision", "label_recall")
    rows = [[r["network"], r["instances"], r["maps"], r["residues"], *decimals(r, figures)] for r in results.rows]
    header = ["network", "locations", "maps", "residues", "semantic IoU", "instance Dice", "rank-1", "rank-3"]
    return markdown_table([*header, "precision", "recall"], rows)


def _draw(experiment: Experiment, results: Results) -> Any:
    figure, axes = experiment.plt.subplots(figsize=(10, 4))
    rows = results.of({"instances": _GIVEN})
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        heights = [column([row], label)[0] for label in LABELS]
        axes.bar(np.arange(len(LABELS)) + width * number, heights, width, label=row["network"])
    axes.set_xticks(np.arange(len(LABELS)) + width * (len(rows) - 1) / 2, LABELS, rotation=90)
    axes.set(ylabel="rank-1 at given locations", ylim=(0, 1))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(rows), frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    sys.exit(main())
