"""Train the network of frames: what the density around a residue looks like in the frame of its main chain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.inference.frames import CA, axes_of, boxes_of_density
from edseg_engine.inference.normalise import density_scale
from edseg_engine.inference.volume import as_read
from edseg_engine.memory import require_memory
from edseg_engine.networks.framenet import EDGE, FrameNet, context_of
from edseg_engine.training.checkpoint import load_checkpoint, write_whole
from edseg_engine.training.improved import improved_maps
from edseg_engine.training.windows import CrystalSource

#: N, CA and C among `edseg_engine.labels.POINTS`.
MAIN_CHAIN = slice(1, 4)
#: Crystals with fewer or more residues in the asymmetric unit are left out: they teach little, or cost too much.
_RESIDUES = (30, 700)
#: Times that each residue of a map is read, each time in a frame that is wrong in another way.
_DRAWS = 2
#: Crystals in a row that have none that can be used before it is given up.
_IN_VAIN = 200
#: Errors of voted atoms along each axis (Å): the median over residues, and the deviation of its logarithm.
_ERROR, _ERROR_SPREAD = 0.22, 0.6
#: Shares of residues whose N and C are voted the wrong way round, or drawn together because that is not clear.
_TURNED, _UNCLEAR = 0.05, 0.1
_BATCH, _WARMUP, _LEARNING_RATE, _WEIGHT_DECAY = 256, 200, 2e-3, 0.02
#: Weight of the points in the loss; Å below which their errors count by the square; deviations of the density's scale
#: and offset from those of the map.
_POINTS, _SOFT, _SCALE, _OFFSET = 0.7, 0.1, 0.08, 0.03


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Boxes of density of residues and what is in them, of many maps.

    Attributes
    ----------
    density
        float16, shape (n, EDGE, EDGE, EDGE).
    context
        float32, shape (n_maps, N_CONTEXT).
    map_of, labels
        shape (n,): the map of each residue, and its class.
    points
        float16, shape (n, N_POINTS, 3): in Å from CA of the box, in its frame; NaN where the model lacks one.
    """

    density: NDArray[np.float16]
    context: NDArray[np.float32]
    map_of: NDArray[np.intp]
    labels: NDArray[np.int64]
    points: NDArray[np.float16]


def gather_frames(
    source: CrystalSource, n_residues: int, seed: Sequence[int], report: Callable[[int], None], cycles: int = 1
) -> FrameSet:
    """Read so many boxes around residues of crystals of `source`, in frames that are as wrong as voted ones.

    Parameters
    ----------
    report
        Gets the number of boxes after each map. One needs 8 kB.
    cycles
        Maps of poor phases are read so often, each with the phases that the reading before gave it; see
        `edseg_engine.training.improved`.

    Raises
    ------
    DeviceError
        If there is not so much memory.
    TrainingDataError
        If no crystal has residues that can be used.
    """
    require_memory(n_residues * 2 * EDGE**3, "This number of residues", "give a smaller one with --residues")
    rng = np.random.default_rng([*seed, 5])
    # Filled piece by piece: half of the memory would not hold it twice.
    density = np.empty((n_residues + _DRAWS * _RESIDUES[1], EDGE, EDGE, EDGE), np.float16)
    parts: list[tuple[NDArray[np.intp], NDArray[np.float16], NDArray[np.float32]]] = []
    n = 0
    for known, complete in complete_crystals(source, rng):
        points, labels = (
            np.concatenate([of_known[complete]] * _DRAWS) for of_known in (known.residues.points, known.residues.labels)
        )
        for each in improved_maps(known, cycles):
            if n >= n_residues:
                break
            voted = disturbed(points[:, MAIN_CHAIN], rng)
            axes, read = axes_of(voted), as_read(each, source.range)
            boxes = density[n : n + len(labels)]
            boxes[:] = boxes_of_density(read, density_scale(read.values), voted[:, CA], axes)
            inside = np.einsum("kay,kyx->kax", points - voted[:, CA, None], axes)
            parts.append((labels, inside.astype(np.float16), context_of(boxes, float(read.d_min or 0.0))))
            n += len(labels)
            report(n)
        if n >= n_residues:
            break
    classes, inside_frames, context = (list(part) for part in zip(*parts, strict=True))
    return FrameSet(
        density[:n],
        np.array(context, np.float32),
        np.repeat(np.arange(len(classes)), [len(part) for part in classes]),
        np.concatenate(classes).astype(np.int64),
        np.concatenate(inside_frames),
    )


def complete_crystals(source: CrystalSource, rng: np.random.Generator) -> Iterator[tuple[KnownMap, NDArray[np.bool_]]]:
    """Yield crystals of `source` without end, neither small nor large, and which residues (n,) have N, CA and C.

    Raises
    ------
    TrainingDataError
        If no crystal has residues that can be used.
    """
    in_vain = 0
    while in_vain < _IN_VAIN:
        known = source.draw(rng)
        complete = np.asarray(np.isfinite(known.residues.points[:, MAIN_CHAIN]).all((1, 2)))
        if _RESIDUES[0] <= len(complete) <= _RESIDUES[1] and complete.any():
            in_vain = 0
            yield known, complete
        else:
            in_vain += 1
    raise TrainingDataError(
        f"None of {_IN_VAIN} crystals in a row has {_RESIDUES[0]} to {_RESIDUES[1]} residues with N, CA and C."
    )


def disturbed(main_chain: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return N, CA and C (k, 3, 3) with the errors that votes for them have."""
    k = len(main_chain)
    error = _ERROR * np.exp(_ERROR_SPREAD * rng.normal(size=(k, 1, 1)))
    voted = main_chain + error * rng.normal(size=main_chain.shape)
    turned = rng.random(k) < _TURNED
    voted[turned] = voted[turned, ::-1]
    together = (rng.random(k) < _UNCLEAR) * rng.uniform(0.0, 0.6, k)
    middle = voted[:, [0, 2]].mean(1, keepdims=True)
    voted[:, [0, 2]] += together[:, None, None] * (middle - voted[:, [0, 2]])
    return np.asarray(voted)


class FrameTraining:
    """Training of a network of frames by AdamW with a cosine schedule, in rounds of other residues.

    Parameters
    ----------
    net
        Is trained in place.
    steps
        Steps of all rounds together.
    """

    def __init__(self, net: FrameNet, steps: int) -> None:
        self.net, self.steps, self.step = net, steps, 0
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)

    def fit(self, frames: FrameSet, steps: int, report: Callable[[int, float, float], None]) -> None:
        """Take so many steps on random batches of `frames`, all of which are used before one is used again.

        Parameters
        ----------
        report
            Gets the number of residues used, and the mean of both losses since the last report: cross-entropy of the
            classes, and error of the points (Å).
        """
        self.net.train()
        order: Tensor = torch.empty(0, dtype=torch.long)
        losses = []
        for left in reversed(range(steps)):
            while len(order) < _BATCH:
                order = torch.cat([order, torch.randperm(len(frames.labels))])
            batch, order = np.sort(order[:_BATCH].numpy()), order[_BATCH:]
            losses.append(self._take_step(frames, batch))
            if len(losses) == 400 or not left:
                report(self.step * _BATCH, *np.mean(losses, 0))
                losses.clear()
        self.net.eval()

    def _take_step(self, frames: FrameSet, batch: NDArray[np.intp]) -> tuple[float, float]:
        warmup = min(_WARMUP, 1 + self.steps // 10)
        rate = min(1, (self.step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * rate
        density = torch.from_numpy(frames.density[batch].astype(np.float32))
        scale, offset = torch.randn(2, len(batch), 1, 1, 1)
        density = density * (1 + _SCALE * scale) + _OFFSET * offset
        with torch.autocast("cpu", torch.bfloat16):
            scores, points = self.net(density, torch.from_numpy(frames.context[frames.map_of[batch]]))
        of_classes = F.cross_entropy(scores.float(), torch.from_numpy(frames.labels[batch]))
        of_points = _error(points.float(), torch.from_numpy(frames.points[batch].astype(np.float32)))
        self.optimizer.zero_grad()
        (of_classes + _POINTS * of_points).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        return of_classes.item(), of_points.item()


@dataclass(frozen=True)
class FrameOptions:
    """How a network of frames is trained.

    Attributes
    ----------
    residues, rounds
        Residues that are drawn anew in each round, 8 kB each, and rounds.
    passes
        Times that each is used.
    seed
        Of all random choices.
    start
        SHA-256 of the weights whose network is trained on; empty for a new one.
    cycles
        See `gather_frames`.
    """

    residues: int
    rounds: int
    passes: float
    seed: int
    start: str
    cycles: int = 1


def train_frame_net(
    source: CrystalSource,
    options: FrameOptions,
    start: FrameNet | None,
    checkpoint: Path,
    gathered: Callable[[int], None],
    trained: Callable[[int, float, float], None],
) -> FrameNet:
    """Return a network of frames trained on crystals of `source`; run again after a kill, it goes on.

    Parameters
    ----------
    start
        Trained on, in place, instead of a new network.
    checkpoint
        Is written after each round.
    gathered, trained
        Called as the reports of `gather_frames` and `FrameTraining.fit`.

    Raises
    ------
    OptionError
        If the checkpoint is of a run with other options.
    DeviceError, TrainingDataError
        As `gather_frames`.
    """
    torch.manual_seed(options.seed)
    steps = math.ceil(options.passes * options.residues / _BATCH)
    training = FrameTraining(FrameNet() if start is None else start, steps * options.rounds)
    first = _resumed(training, checkpoint, options) if checkpoint.exists() else 0
    for number in range(first, options.rounds):
        seed = [options.seed, number]
        frames = gather_frames(source, options.residues, seed, gathered, options.cycles)
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        training.fit(frames, steps, trained)
        del frames  # room for the next
        state = {"net": training.net.state_dict(), "optimizer": training.optimizer.state_dict()}
        write_whole(checkpoint, {**state, "rounds": number + 1, "options": asdict(options)})
    return training.net.eval()


def _resumed(training: FrameTraining, checkpoint: Path, options: FrameOptions) -> int:
    """Put a checkpoint into `training` and return the rounds that it has behind it."""
    saved = load_checkpoint(checkpoint)
    if saved["options"] != asdict(options):
        raise OptionError(f"{checkpoint} is of a run with other options or weights: give the same ones, or remove it.")
    training.net.load_state_dict(saved["net"])
    training.optimizer.load_state_dict(saved["optimizer"])
    training.step = saved["rounds"] * training.steps // options.rounds
    return int(saved["rounds"])


def _error(points: Tensor, true: Tensor) -> Tensor:
    known = true.isfinite().all(-1)
    return ((points[known] - true[known]).square().sum(-1) + _SOFT**2).sqrt().mean()
