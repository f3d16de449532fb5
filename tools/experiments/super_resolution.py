"""Super-resolution of maps, from 3 to 2 Å, for the network of 2 Å: figure 7.1 of the thesis.

    python -m tools.experiments.super_resolution --structures STRUCTURES --experimental EXPERIMENTAL --out DIR

A generator learns from maps cut at 3 Å what they are at 2 Å: simulated ones and, a quarter of them, experimental ones
of the split ``train``. Scored are simulated maps without errors of the split ``val`` and experimental ones of the split
``dev`` whose data reach 2 Å, with the locations of residues given: does the shipped network for 2 Å name more residues
in what is generated than that for 3 Å in the map as it is? In all rows the voxels within 2 Å of its atoms speak for a
residue, as at 3 Å.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.errors import TrainingDataError
from edseg_engine.evaluation.given import score_given
from edseg_engine.evaluation.maps import experimental_maps
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.networks.weights import Weights, choose_weights
from edseg_engine.resolution import ResolutionRange, range_of_resolution
from tools.command import run_tool
from tools.experiments.adversarial import GeneratorTrainer, LossWeights
from tools.experiments.core import (
    PROTOCOL,
    Experiment,
    add_experimental,
    add_maps,
    add_runs,
    decimals,
    experiment_parser,
    fixed_range,
    given_figures,
)
from tools.experiments.generator import Behind, Generator, structural_similarity
from tools.experiments.pairs import COARSE, FINE, coarser, window_pair
from tools.experiments.results import Results, Row, column

_KINDS = ("simulated", "experimental")
#: What reads what.
_ROWS = (("3 Å", "3 Å"), ("2 Å", "3 Å"), ("2 Å", "generated"), ("2 Å", "2 Å"))
#: Shares of the crystals to train on: experimental ones, and simulated ones without errors.
_DATA = {"experimental_share": 0.25, "noise_free_share": 0.5, "poor_phases_share": 0.0}
#: Edge and frame of a window to train on, in voxels.
_WINDOW, _FRAME = 32, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = experiment_parser("super_resolution", "Train a generator from 3 to 2 Å and score it (thesis, figure 7.1).")
    add_runs(parser)
    add_experimental(parser)
    add_maps(parser)
    parser.add_argument("--adversarial-weight", type=float, default=0.02, help="default: %(default)s")
    parser.add_argument("--downstream-weight", type=float, default=0.5, help="default: %(default)s")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs=2,
        metavar="FILE",
        help="networks for 3 and for 2 Å (default: the shipped ones)",
    )
    parser.set_defaults(loss="cross-entropy", windows=1500, learning_rate=2e-3)
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Train, measure, and write ``super_resolution.csv``, ``reconstruction.csv``, the tables and the picture."""
    study = _SuperResolution(Experiment(args, "super_resolution"))
    results, densities = study.experiment.results(), study.experiment.results("reconstruction")
    for kind in _KINDS:
        for network, density in _ROWS:
            key = {"maps": kind, "network": network, "density": density}
            results.measure(key, partial(study.figures, kind, network, density))
        densities.measure({"maps": kind}, partial(study.reconstruction, kind))
    study.experiment.publish(_table(results, densities), study.draw(results))


class _SuperResolution:
    """The generator of an experiment, trained when it is first asked for, and what it is scored on."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    def weights(self, network: str) -> Weights:
        """Return those of the network for 3 or 2 Å."""
        d_min = COARSE if network == "3 Å" else FINE
        own = self.experiment.args.weights
        return choose_weights(own and own[d_min == FINE], range_of_resolution(d_min))

    @property
    def windows(self) -> ResolutionRange:
        """The windows to train on."""
        own = fixed_range(FINE)
        return replace(own, window=_WINDOW, frame=_FRAME * own.spacing)

    @cached_property
    def generator(self) -> Generator:
        experiment, args = self.experiment, self.experiment.args
        trainer = GeneratorTrainer(
            experiment.folder / "generator",
            self.windows,
            self.weights("2 Å").net,
            experiment.data(experimental=args.experimental, **_DATA),
            experiment.train_options,
            LossWeights(args.adversarial_weight, args.downstream_weight),
            experiment.device,
        )
        if trainer.progress < 1:
            trainer.run()
        return trainer.averaged()

    def maps(self, kind: str) -> list[KnownMap]:
        """Return the maps at 2 Å; raises TrainingDataError if there are none."""
        if kind == "simulated":
            return self.experiment.simulated(FINE)
        folder, n = self.experiment.args.experimental, self.experiment.args.maps
        maps = list(itertools.islice(experimental_maps(folder, "dev", 0.0, FINE + 0.01, FINE), n))
        if not maps:
            raise TrainingDataError(f"{folder} has no crystal of the split dev whose data reach {FINE:g} Å.")
        return maps

    def figures(self, kind: str, network: str, density: str) -> Iterator[Row]:
        """Yield how one network does on one density of all maps of a kind."""
        weights = self.weights(network)
        if density == "generated":
            weights = replace(weights, net=Behind(self.generator, weights.net))
        maps = (_as_coarse(fine) if density == "2 Å" else coarser(fine) for fine in self.maps(kind))
        scores = [score_given(known, weights, self.experiment.device, PROTOCOL) for known in maps]
        residues = sum(int(score.residues.true.sum()) for score in scores)
        yield {"crystals": len(scores), "residues": residues, **given_figures(scores)}

    def pairs(self, kind: str, n: int | None = None) -> Iterator[dict[str, Tensor]]:
        """Yield a window of each map, or of the first `n`."""
        for number, fine in enumerate(self.maps(kind)[:n]):
            yield window_pair(fine, coarser(fine), self.windows, number)

    @torch.no_grad()
    def reconstruction(self, kind: str) -> Iterator[Row]:
        """Yield how near the map at 3 Å, and what is generated of it, are to that at 2 Å, in the mean over windows."""
        values: dict[str, list[float]] = {}
        for pair in self.pairs(kind):
            fine, coarse = pair["fine"][None], pair["density"][None]
            generated = self.generator(coarse.to(self.experiment.device)).cpu()
            for name, density in (("3 Å", coarse), ("generated", generated)):
                figures = (F.l1_loss(density, fine), structural_similarity(density, fine), _correlation(density, fine))
                for figure, value in zip(("L1", "similarity", "correlation"), figures, strict=True):
                    values.setdefault(f"{name} {figure}", []).append(value.item())
        yield {name: float(np.mean(numbers)) for name, numbers in values.items()}

    @torch.no_grad()
    def draw(self, results: Results) -> Any:
        """Return the picture: rank-1 of all rows, and a section through a window of the first experimental map."""
        figure, axes = self.experiment.plt.subplots(1, 4, figsize=(14, 3.5), width_ratios=(2, 1, 1, 1))
        for number, (network, density) in enumerate(_ROWS):
            ranks = column(results.of({"network": network, "density": density}), "rank1")
            axes[0].bar(np.arange(len(ranks)) + 0.2 * number, ranks, 0.2, label=f"{network} network, {density} map")
        axes[0].set_xticks(np.arange(len(_KINDS)) + 0.3, _KINDS)
        axes[0].set(ylabel="rank-1", ylim=(0, 1))
        axes[0].legend(fontsize="x-small", loc="lower left")
        (pair,) = self.pairs("experimental", 1)
        generated = self.generator(pair["density"][None].to(self.experiment.device))[0].cpu()
        densities = {"3 Å": pair["density"], "generated": generated, "2 Å": pair["fine"]}
        for panel, (name, density) in zip(axes[1:], densities.items(), strict=True):
            panel.imshow(density[0, :, :, _WINDOW // 2].numpy(), cmap="Greys", vmin=0, vmax=2)
            panel.set(title=name, xticks=[], yticks=[])
        return figure


def _as_coarse(fine: KnownMap) -> KnownMap:
    """Return a map that is read as one of `COARSE`: by the same voxels around atoms."""
    return KnownMap(replace(fine.density, d_min=COARSE), fine.residues, fine.name)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]


def _table(results: Results, densities: Results) -> str:
    rows = [[r["maps"], r["network"], r["density"], *decimals(r, ("rank1", "rank3", "iou"))] for r in results.rows]
    table = markdown_table(["maps", "network for", "density", "rank-1", "rank-3", "IoU"], rows)
    figures = ("L1", "similarity", "correlation")
    lines = [
        [row["maps"], density, *decimals(row, [f"{density} {name}" for name in figures])]
        for row in densities.rows
        for density in ("3 Å", "generated")
    ]
    return table + "\n" + markdown_table(["maps", "density", "L1", "structural similarity", "correlation"], lines)


if __name__ == "__main__":
    sys.exit(main())
