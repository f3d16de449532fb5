"""What the experiments share: their options, and networks that are trained and scored by the package's own functions.

Maps to train on are simulated without errors, as the thesis's were, but of whole crystals: nothing is culled. Voxels,
windows and frames are the thesis's (4.2, 5.2.2), as is the loss.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edseg_engine.cli.arguments import device_parser
from edseg_engine.dataset.criteria import fold_of
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.dataset.simulate import NOISE_FREE
from edseg_engine.dataset.thesis import SETS
from edseg_engine.devices import choose_device
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.evaluation.evaluate import MapScore, Protocol, score_maps
from edseg_engine.evaluation.given import GivenScore, score_given
from edseg_engine.evaluation.maps import experimental_maps, simulated_maps
from edseg_engine.evaluation.metrics import ResidueCounts, VoxelCounts, total, total_voxels
from edseg_engine.evaluation.tables import summary
from edseg_engine.io.output import output_file
from edseg_engine.networks.architectures import SHAPES
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.stacknet import StackNetConfig
from edseg_engine.networks.weights import load_weights
from edseg_engine.resolution import RANGES, ResolutionRange, range_of_resolution
from edseg_engine.training.distributed import Ranks
from edseg_engine.training.loop import Trainer
from edseg_engine.training.losses import LOSSES
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.windows import DataOptions
from tools.experiments.results import Results
from tools.plotting import pyplot, save_figure

#: How networks are scored: one orientation, without the network beside them, by the mean over voxels (thesis 3.3).
PROTOCOL = Protocol(orientations=1, alone=True, summed=True)
RESOLUTIONS = tuple(fixed.d_min for fixed in SETS)
#: Options that do not change what comes out, but for rounding.
_FREE = ("out", "device", "workers")


def experiment_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all experiments have."""
    parser = argparse.ArgumentParser(
        f"python -m tools.experiments.{name}", parents=[device_parser()], description=description
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results and the runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    return parser


def add_maps(parser: argparse.ArgumentParser) -> None:
    """Add the number of maps to score."""
    parser.add_argument("--maps", type=int, default=20, metavar="N", help="maps to score (default: %(default)s)")


def add_experimental(parser: argparse.ArgumentParser) -> None:
    """Add the folder of experimental crystals."""
    parser.add_argument("--experimental", type=Path, required=True, metavar="DIR", help="as for edseg evaluate")


def add_structures(parser: argparse.ArgumentParser) -> None:
    """Add the folder of structures to simulate maps of."""
    parser.add_argument("--structures", type=Path, required=True, metavar="DIR", help="as for edseg train network")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the options of training runs: what to train on, how long each takes, and the loss."""
    add_runs(parser).add_argument("--loss", choices=LOSSES, default="thesis", help="default: %(default)s")


def add_runs(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the same but for the loss; returns the group of these options."""
    add_structures(parser)
    group = parser.add_argument_group("each training run")
    group.add_argument("--windows", type=int, default=8000, help="windows (default: %(default)s)")
    group.add_argument("--minutes", type=float, default=0.0, help="end after so many at the latest (default: no limit)")
    group.add_argument("--batch", type=int, default=4, help="windows per step (default: %(default)s)")
    group.add_argument("--learning-rate", type=float, default=3e-3, help="at its peak (default: %(default)s)")
    group.add_argument("--workers", type=int, default=1, help="processes that make windows (default: %(default)s)")
    return group


def add_resolutions(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the thesis's resolutions."""
    parser.add_argument(
        "--resolutions",
        type=float,
        nargs="+",
        choices=RESOLUTIONS,
        default=list(RESOLUTIONS),
        metavar="Å",
        help="of 2, 3 and 4 (default: all)",
    )


def thesis_range(d_min: float) -> ResolutionRange:
    """Return the range around a resolution of the thesis (5.3.4), with the voxels, windows and frame of the thesis."""
    (fixed,) = (s for s in SETS if s.d_min == d_min)
    return replace(
        range_of_resolution(d_min), spacing=fixed.spacing, window=fixed.window, frame=fixed.frame * fixed.spacing
    )


def fixed_range(d_min: float) -> ResolutionRange:
    """Return the same for maps of that resolution alone (4.1)."""
    return replace(thesis_range(d_min), d_min=d_min, d_max=d_min + 0.01)


def dense_network(d_min: float) -> str:
    """Return the name of the FC-DenseNet for a resolution of the thesis (table 5.1)."""
    return "fc-densenet49" if d_min == 4.0 else "fc-densenet57"


def shape_of(name: str) -> NetworkConfig:
    """Return the shape of this name; MT-StackNets vote for centroids, as the thesis's."""
    shape = SHAPES[name]
    return replace(shape, points=1) if isinstance(shape, StackNetConfig) else shape


class Experiment:
    """The folder of an experiment and what is done in it.

    Parameters
    ----------
    name
        Of the table and the picture.

    Raises
    ------
    OptionError
        If the folder holds an experiment with other options.
    DependencyError
        If matplotlib is not installed.
    """

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        self.args, self.name, self.folder = args, name, args.out
        self.plt = pyplot()
        self.device = choose_device(args.device)
        torch.set_num_threads(args.threads)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._keep_settings()
        self.simulated = lru_cache(maxsize=1)(self._simulated)

    def _keep_settings(self) -> None:
        path = self.folder / f"{self.name}.json"
        settings = {key: str(value) for key, value in vars(self.args).items() if key not in _FREE}
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [key for key in settings.keys() | before.keys() if settings.get(key) != before.get(key)]
            if changed:
                options = ", ".join(f"--{key.replace('_', '-')}" for key in sorted(changed))
                raise OptionError(f"{path} is of an experiment with other {options}; choose another folder.")
        with output_file(path) as file:
            file.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    def results(self, name: str = "") -> Results:
        """Return the rows of the experiment, or of a part of it that has a `name`."""
        return Results(self.folder / f"{name or self.name}.csv")

    @property
    def train_options(self) -> TrainOptions:
        """Options of each training run."""
        args = self.args
        return TrainOptions(
            windows=args.windows,
            minutes=args.minutes,
            batch=args.batch,
            learning_rate=args.learning_rate,
            warmup=min(TrainOptions.warmup, args.windows // args.batch // 10),
            loss=args.loss,
            seed=args.seed,
            workers=args.workers,
        )

    def data(self, **changes: Any) -> DataOptions:
        """Return what networks are trained on: maps without errors, and what `changes` say."""
        options = {"experimental_share": 0.0, "noise_free_share": 1.0, "poor_phases_share": 0.0, **changes}
        return DataOptions(self.args.structures, **options)

    def train(
        self,
        name: str,
        network: NetworkConfig,
        resolution_range: ResolutionRange,
        data: DataOptions | None = None,
        start_from: Path | None = None,
        **changes: Any,
    ) -> Path:
        """Train a network in the folder `name` of the experiment, or go on with it; returns its weights.

        Parameters
        ----------
        changes
            Of `train_options`.
        """
        options = replace(self.train_options, **changes)
        trainer = Trainer(
            self.folder / name,
            resolution_range,
            network,
            data or self.data(),
            options,
            Ranks(0, 1, self.device),
            start_from,
        )
        if trainer.progress < 1:
            trainer.run(lambda row: print(f"{name}: {row['windows']:.0f} windows, loss {row['loss']:.3f}", flush=True))
        return trainer.weights_path

    def _simulated(self, d_min: float, split: str = "val", fold: int | None = None) -> list[KnownMap]:
        """Return the maps to score: without errors, spread evenly over a split or over a fold of it."""
        names = [name for pack in structures_of_split(self.args.structures, split) for name in pack.names]
        every = max(1, sum(fold in (None, fold_of(name)) for name in names) // self.args.maps)
        maps = simulated_maps(self.args.structures, split, d_min, NOISE_FREE, every, fold)
        return list(itertools.islice(maps, self.args.maps))

    def experimental(self, d_min: float) -> list[KnownMap]:
        """Return the experimental maps of the split ``dev`` that the network for a resolution reads (thesis 5.3.4).

        Raises
        ------
        TrainingDataError
            If there are none.
        """
        own = range_of_resolution(d_min)
        low = 0.0 if own == RANGES[0] else own.d_min
        high = np.inf if own == RANGES[-1] else own.d_max
        maps = list(itertools.islice(experimental_maps(self.args.experimental, "dev", low, high), self.args.maps))
        if not maps:
            raise TrainingDataError(
                f"{self.args.experimental} has no crystal of the split dev between {low:g} and {high:g} Å; choose "
                "another resolution."
            )
        return maps

    def given(self, weights: Path, maps: Iterable[KnownMap]) -> list[GivenScore]:
        """Score a network that is given the locations of residues."""
        loaded = load_weights(weights)
        return [score_given(known, loaded, self.device, PROTOCOL) for known in maps]

    def located(self, weights: Path, maps: Iterable[KnownMap]) -> list[MapScore]:
        """Score a network that locates residues itself, with their number given."""
        loaded = load_weights(weights)
        return score_maps(maps, lambda _: loaded, self.device, lambda _: None, PROTOCOL)

    def publish(self, table: str, figure: Any) -> None:
        """Write the table and the picture, and print the table."""
        with output_file(self.folder / f"{self.name}.md") as file:
            file.write_text(table, encoding="utf-8")
        save_figure(self.plt, figure, self.folder / f"{self.name}.png")
        print(table, end="")


def figures_of(residues: Sequence[ResidueCounts], voxels: Sequence[VoxelCounts]) -> dict[str, float]:
    """Return the figures of the thesis's tables over a set of maps."""
    counts = total_voxels(voxels)
    return {"iou": counts.mean_iou(), **counts.rates(), **total(residues).figures()}


def given_figures(scores: Sequence[GivenScore]) -> dict[str, float]:
    """Return the same of scores with given locations."""
    return figures_of([s.residues for s in scores], [s.voxels for s in scores])


def located_figures(scores: Sequence[MapScore]) -> dict[str, float]:
    """Return the same of residues that were located, and the instance Dice coefficient (thesis 6.4.4)."""
    dice: float = summary(scores)["instance_dice"]
    return {**figures_of([s.k_given for s in scores], [s.voxels for s in scores]), "dice": dice}


def decimals(row: dict[str, str], columns: Iterable[str]) -> Iterator[str]:
    """Yield numbers of a row as they stand in tables."""
    return (f"{float(row[name]):.4f}" for name in columns)
