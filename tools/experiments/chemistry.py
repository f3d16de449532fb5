"""Chemical terms in the loss of the votes for backbones: a next step that chapter 7 of the thesis names.

    python -m tools.experiments.chemistry --structures STRUCTURES --experimental EXPERIMENTAL --out DIR

The training of a network that votes for the backbone is continued twice from the same weights on the same windows,
without and with `edseg_engine.training.chemistry` in the loss. Scored are experimental maps of the split ``dev``, with
the number of residues given: the mean votes of the residues found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.evaluation.atoms import CLOSE, atom_errors
from edseg_engine.evaluation.evaluate import match_residues, run_network
from edseg_engine.evaluation.metrics import ResidueCounts, count_residues, total
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.labels import ATOMS, BACKBONE
from edseg_engine.networks.weights import Weights, load_weights, network_of, weights_folder
from edseg_engine.pipeline import find_residues
from edseg_engine.residues.classify import Classifier
from edseg_engine.resolution import WIDE, range_of_resolution
from edseg_engine.training.chemistry import BONDS, chiral_volume, distance
from tools.command import run_tool
from tools.experiments.core import (
    PROTOCOL,
    Experiment,
    add_experimental,
    add_maps,
    add_resolutions,
    add_runs,
    decimals,
    experiment_parser,
)
from tools.experiments.results import Results, Row, column

#: What is scored: the weights to start from, and the two trainings from there.
_ARMS = ("before", "without", "with")
#: Crystals that the shipped backbone network was last trained on.
_DATA = {"experimental_share": 0.4, "noise_free_share": 0.12, "poor_phases_share": 0.4}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("chemistry", "Train votes for backbones with and without chemical terms (thesis, 7).")
    add_runs(parser)
    add_experimental(parser)
    add_maps(parser)
    add_resolutions(parser)
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="default: the shipped backbone network")
    parser.add_argument("--atom-weight", type=float, default=12.0, help="of the votes (default: %(default)s)")
    parser.add_argument("--chemistry-weight", type=float, default=10.0, help="of the term (default: %(default)s)")
    parser.set_defaults(loss="cross-entropy", windows=300, batch=1, learning_rate=3e-4, resolutions=[2.0, 3.0])
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, measure, and write ``chemistry.csv``, the table and the picture."""
    experiment = Experiment(args, "chemistry")
    results = experiment.results()
    for arm in _ARMS:
        for d_min in args.resolutions:
            key = {"maps": range_of_resolution(d_min).name, "term": arm}
            results.measure(key, partial(_figures, experiment, arm, d_min))
    experiment.publish(_table(results), _draw(experiment, results))


def _figures(experiment: Experiment, arm: str, d_min: float) -> Iterator[Row]:
    weights = load_weights(_trained(experiment, arm))
    scores = [_score(known, weights, experiment.device) for known in experiment.experimental(d_min)]
    errors = np.concatenate([score.errors for score in scores])
    atoms = torch.from_numpy(np.concatenate([score.atoms for score in scores]))
    row: dict[str, float] = {"crystals": len(scores), "found": len(errors)}
    for index, name in enumerate(ATOMS):
        known = errors[np.isfinite(errors[:, index]), index]
        row |= {name: float((known < CLOSE).mean()), f"{name} median": float(np.median(known))}
    for bond, ideal in BONDS.items():
        row["-".join(bond)] = (distance(atoms, *bond) - ideal).square().mean().sqrt().item()
    row["chirality"] = (chiral_volume(atoms) > 0).double().mean().item()
    yield {**row, "rank1": total([score.counts for score in scores]).figures()["rank1"]}


def _trained(experiment: Experiment, arm: str) -> Path:
    """Return the weights of an arm, trained as the shipped backbone network was at last."""
    args = experiment.args
    start: Path = args.start_from or weights_folder() / "backbone.safetensors"
    if arm == "before":
        return start
    return experiment.train(
        arm,
        network_of(start),
        WIDE,
        experiment.data(experimental=args.experimental, **_DATA),
        start,
        muon=False,
        frozen_statistics=True,
        atom_weight=args.atom_weight,
        chemistry_weight=args.chemistry_weight if arm == "with" else 0.0,
    )


@dataclass(frozen=True)
class _Score:
    """Of n residues found in a map: errors (n, 7) and positions (n, 7, 3) of their `ATOMS` in Å, and their classes."""

    errors: NDArray[np.float64]
    atoms: NDArray[np.float64]
    counts: ResidueCounts


def _score(known: KnownMap, weights: Weights, device: torch.device) -> _Score:
    # What voxels vote for is compared; whoever reads residues after that would hide the difference.
    prediction, labels = replace(run_network(known, weights, device, PROTOCOL), reader=None), known.residues.labels
    found = find_residues(prediction, Classifier(), len(labels))
    assert found.backbone is not None, "the term needs votes for atoms"
    matching = match_residues(known, prediction, found)
    return _Score(
        atom_errors(known.residues, found, matching, prediction.region.symmetry),
        found.backbone.atoms[matching.found],
        count_residues(found.classes.probabilities, labels, matching),
    )


def _table(results: Results) -> str:
    bonds = ["-".join(bond) for bond in BONDS]
    figures = [*BACKBONE, *bonds, "chirality", "rank1"]
    rows = [[row["maps"], row["term"], *decimals(row, figures)] for row in results.rows]
    header = ["maps", "term", *(f"{name} within 1 Å" for name in BACKBONE)]
    header += [*(f"{bond} rms (Å)" for bond in bonds), "chirality", "rank-1"]
    return markdown_table(header, rows)


def _draw(experiment: Experiment, results: Results) -> Any:
    ranges = list(dict.fromkeys(row["maps"] for row in results.rows))
    figure, grid = experiment.plt.subplots(1, len(ranges), figsize=(5 * len(ranges), 3.5), squeeze=False)
    figures = [*BACKBONE, "chirality", "rank1"]
    for axes, maps in zip(grid[0], ranges, strict=True):
        for number, arm in enumerate(_ARMS):
            (row,) = results.of({"maps": maps, "term": arm})
            heights = [value for name in figures for value in column([row], name)]
            axes.bar(np.arange(len(figures)) + 0.27 * number, heights, 0.27, label=arm)
        axes.set_xticks(np.arange(len(figures)) + 0.27, figures)
        axes.set(title=f"maps of {maps} resolution", ylabel="share within 1 Å, or right", ylim=(0, 1))
        axes.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    sys.exit(main())
