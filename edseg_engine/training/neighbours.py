"""Train the network of neighbours: what a residue is likely to be among others, by what the density says of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edseg_engine.errors import OptionError
from edseg_engine.labels import N_LABELS
from edseg_engine.networks.neighbournet import NeighbourNet
from edseg_engine.training.checkpoint import load_checkpoint, write_whole
from edseg_engine.training.muon import Muon, descend
from edseg_engine.training.readings import Readings

#: Residues of a step in the mean, steps until the full learning rate, and that.
_BATCH, _WARMUP, _LEARNING_RATE, _WEIGHT_DECAY = 700, 200, 3e-3, 0.02
#: How far the first step is into the training, so that it moves anything; residues between reports.
_FIRST, _REPORTED = 1e-3, 100_000
#: Of this share of the maps up to that share of the residues is missing; of each map the density of some says nothing.
_INCOMPLETE, _MISSING, _UNREAD = 0.6, 0.25, 0.08
#: Å by which atoms are shaken in each step.
_SHAKEN = 0.03


class NeighbourTraining:
    """Training of a network of neighbours by Muon, and AdamW for what is no matrix, with a cosine schedule.

    Parameters
    ----------
    net
        Is trained in place.
    passes
        Times that all residues are used.
    """

    def __init__(self, net: NeighbourNet, passes: int) -> None:
        self.net, self.passes = net, passes
        hidden = [p for name, p in net.named_parameters() if p.ndim == 2 and not name.startswith("head")]
        others = [p for p in net.parameters() if all(p is not matrix for matrix in hidden)]
        self.optimizers = (
            Muon(hidden, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY),
            torch.optim.AdamW(others, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)),
        )

    def fit(
        self, readings: Readings, number: int, rng: np.random.Generator, report: Callable[[int, float, float], None]
    ) -> None:
        """Take the pass of this number (from zero) over `readings`, in random batches of whole maps.

        Parameters
        ----------
        report
            Gets the number of residues used in this pass, and since the last report the mean cross-entropy of the
            classes, and that of what the density alone says.
        """
        self.net.train()
        shares = np.bincount(readings.labels, minlength=N_LABELS) / len(readings)
        losses = np.zeros(2)
        done = reported = 0
        for maps in _batches(readings, rng):
            self._set_rate((number + done / len(readings)) / self.passes, len(readings))
            size = int(readings.sizes[maps].sum())
            losses += size * np.array(self._take_step(readings, maps, shares, rng))
            done += size
            if done - reported >= _REPORTED or done == len(readings):
                report(done, *losses / (done - reported))
                losses[:], reported = 0.0, done
        self.net.eval()

    def _set_rate(self, progress: float, n_residues: int) -> None:
        warmup = min(0.1, _WARMUP * _BATCH / (self.passes * n_residues))
        rate = min(1.0, (progress + _FIRST) / warmup) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = _LEARNING_RATE * rate

    def _take_step(
        self, readings: Readings, maps: NDArray[np.intp], shares: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[float, float]:
        starts, sizes = np.cumsum(readings.sizes)[maps] - readings.sizes[maps], readings.sizes[maps]
        chosen = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])
        first = np.repeat(np.cumsum(sizes) - sizes, sizes)
        nearest = np.where(readings.nearest[chosen] < 0, -1, readings.nearest[chosen] + first[:, None])
        missing = rng.uniform(0, _MISSING, len(maps)) * (rng.random(len(maps)) < _INCOMPLETE)
        gone = rng.random(len(chosen)) < np.repeat(missing, sizes)
        nearest[:, 1:][gone[nearest[:, 1:]]] = -1
        said = torch.from_numpy(readings.probabilities[chosen])
        told = said.clone()
        told[torch.from_numpy(rng.random(len(chosen)) < _UNREAD)] = torch.from_numpy(shares.astype(np.float32))
        atoms = torch.from_numpy(readings.atoms[chosen].astype(np.float32))
        d_min, sure = torch.from_numpy(np.repeat(readings.of_map[maps], sizes, axis=0)).T
        left, labels = torch.from_numpy(~gone), torch.from_numpy(readings.labels[chosen].astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.net(told, d_min, sure, torch.from_numpy(nearest), atoms + _SHAKEN * torch.randn(atoms.shape))
        loss = F.cross_entropy(scores.float()[left], labels[left])
        descend(self.net, self.optimizers, loss)
        return loss.item(), F.nll_loss(said[left].clamp(min=1e-6).log(), labels[left]).item()


def _batches(readings: Readings, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield all maps in random order, so many at a time that they have `_BATCH` residues in the mean."""
    order = rng.permutation(len(readings.sizes))
    batch = (np.cumsum(readings.sizes[order]) - readings.sizes[order]) // _BATCH
    yield from np.split(order, np.flatnonzero(np.diff(batch)) + 1)


@dataclass(frozen=True)
class NeighbourOptions:
    """How a network of neighbours is trained.

    Attributes
    ----------
    residues
        Residues that are read.
    passes
        Times that each is used.
    seed
        Of all random choices.
    frames
        SHA-256 of the weights whose network of frames reads them.
    """

    residues: int
    passes: int
    seed: int
    frames: str


def train_neighbour_net(
    gather: Callable[[], Readings],
    options: NeighbourOptions,
    checkpoint: Path,
    trained: Callable[[int, int, float, float], None],
) -> NeighbourNet:
    """Return a network of neighbours trained on readings; run again after a kill, it goes on.

    Parameters
    ----------
    gather
        Makes the readings, if `checkpoint` does not hold them.
    checkpoint
        Is written when the readings are there, and after each pass.
    trained
        Gets the passes that are complete, then as the report of `NeighbourTraining.fit`.

    Raises
    ------
    OptionError
        If the checkpoint is of a run with other options.
    DeviceError, TrainingDataError
        As `gather` does.
    """
    torch.manual_seed(options.seed)
    training = NeighbourTraining(NeighbourNet(), options.passes)
    kept: dict[str, Tensor]
    if checkpoint.exists():
        saved = load_checkpoint(checkpoint)
        if saved["options"] != asdict(options):
            raise OptionError(
                f"{checkpoint} is of a run with other options or weights: give the same ones, or remove it."
            )
        kept, first = saved["readings"], saved["passes"]
        readings = Readings(**{name: value.numpy() for name, value in kept.items()})
        training.net.load_state_dict(saved["net"])
        for optimizer, state in zip(training.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
    else:
        readings, first = gather(), 0
        kept = {name: torch.from_numpy(value) for name, value in vars(readings).items()}

    def save(passes: int) -> None:
        optimizers = [optimizer.state_dict() for optimizer in training.optimizers]
        state = {"net": training.net.state_dict(), "optimizers": optimizers, "readings": kept}
        write_whole(checkpoint, {**state, "passes": passes, "options": asdict(options)})

    if not checkpoint.exists():
        save(first)
    for number in range(first, options.passes):
        seed = [options.seed, number]
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        training.fit(readings, number, np.random.default_rng([*seed, 7]), partial(trained, number))
        save(number + 1)
    return training.net.eval()
