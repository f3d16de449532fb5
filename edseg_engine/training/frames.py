"""Train the network of frames: what the density around a residue looks like in the frame of its main chain."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edseg_engine.errors import TrainingDataError
from edseg_engine.inference.frames import CA, axes_of, boxes_of_density
from edseg_engine.inference.normalise import density_scale
from edseg_engine.inference.volume import as_read
from edseg_engine.memory import require_memory
from edseg_engine.networks.framenet import EDGE, FrameNet, context_of
from edseg_engine.training.windows import CrystalSource

#: N, CA and C among `edseg_engine.labels.POINTS`.
_MAIN_CHAIN = slice(1, 4)
#: Crystals with fewer or more residues in the asymmetric unit are left out: they teach little, or cost too much.
_RESIDUES = (30, 700)
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


def gather_frames(source: CrystalSource, n_residues: int, seed: int, report: Callable[[int], None]) -> FrameSet:
    """Read so many residues of crystals of `source` in frames that are as wrong as voted ones.

    `report` gets the number of residues after each crystal. A residue needs 8 kB.

    Raises
    ------
    DeviceError
        If there is not so much memory.
    TrainingDataError
        If no crystal has residues that can be used.
    """
    require_memory(n_residues * 2 * EDGE**3, "This number of residues", "give a smaller one with --residues")
    rng = np.random.default_rng([seed, 5])
    # Filled piece by piece: half of the memory would not hold it twice.
    density = np.empty((n_residues + _RESIDUES[1], EDGE, EDGE, EDGE), np.float16)
    parts: list[tuple[NDArray[np.intp], NDArray[np.float16], NDArray[np.float32]]] = []
    n = in_vain = 0
    while n < n_residues:
        if in_vain == _IN_VAIN:
            raise TrainingDataError(
                f"None of {_IN_VAIN} crystals in a row has {_RESIDUES[0]} to {_RESIDUES[1]} residues with N, CA and C."
            )
        known = source.draw(rng)
        points = known.residues.points
        complete = np.isfinite(points[:, _MAIN_CHAIN]).all((1, 2))
        if not _RESIDUES[0] <= len(points) <= _RESIDUES[1] or not complete.any():
            in_vain += 1
            continue
        in_vain = 0
        points, labels = points[complete], known.residues.labels[complete]
        voted = disturbed(points[:, _MAIN_CHAIN], rng)
        axes, read = axes_of(voted), as_read(known.density, source.range)
        boxes = density[n : n + len(labels)]
        boxes[:] = boxes_of_density(read, density_scale(read.values), voted[:, CA], axes)
        inside = np.einsum("kay,kyx->kax", points - voted[:, CA, None], axes)
        parts.append((labels, inside.astype(np.float16), context_of(boxes, float(read.d_min or 0.0))))
        n += len(labels)
        report(n)
    classes, inside_frames, context = (list(part) for part in zip(*parts, strict=True))
    return FrameSet(
        density[:n],
        np.array(context, np.float32),
        np.repeat(np.arange(len(classes)), [len(part) for part in classes]),
        np.concatenate(classes).astype(np.int64),
        np.concatenate(inside_frames),
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


def fit_frame_net(
    frames: FrameSet,
    passes: float,
    seed: int,
    report: Callable[[int, float, float], None],
    start: FrameNet | None = None,
) -> FrameNet:
    """Train by AdamW with a cosine schedule; each residue is used `passes` times.

    Parameters
    ----------
    report
        Gets the number of residues used, and the mean of both losses since the last report: cross-entropy of the
        classes, and error of the points (Å).
    start
        Trained on instead of a new network.
    """
    torch.manual_seed(seed)
    net = FrameNet() if start is None else copy.deepcopy(start).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    steps = math.ceil(passes * len(frames.labels) / _BATCH)
    warmup = min(_WARMUP, 1 + steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    order: Tensor = torch.empty(0, dtype=torch.long)
    losses = []
    for step in range(steps):
        if len(order) < _BATCH:
            order = torch.cat([order, torch.randperm(len(frames.labels))])
        batch, order = np.sort(order[:_BATCH].numpy()), order[_BATCH:]
        density = torch.from_numpy(frames.density[batch].astype(np.float32))
        scale, offset = torch.randn(2, len(batch), 1, 1, 1)
        density = density * (1 + _SCALE * scale) + _OFFSET * offset
        with torch.autocast("cpu", torch.bfloat16):
            scores, points = net(density, torch.from_numpy(frames.context[frames.map_of[batch]]))
        of_classes = F.cross_entropy(scores.float(), torch.from_numpy(frames.labels[batch]))
        of_points = _error(points.float(), torch.from_numpy(frames.points[batch].astype(np.float32)))
        optimizer.zero_grad()
        (of_classes + _POINTS * of_points).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append((of_classes.item(), of_points.item()))
        if len(losses) == 400 or step + 1 == steps:
            report((step + 1) * _BATCH, *np.mean(losses, 0))
            losses.clear()
    return net.eval()


def _error(points: Tensor, true: Tensor) -> Tensor:
    known = true.isfinite().all(-1)
    return ((points[known] - true[known]).square().sum(-1) + _SOFT**2).sqrt().mean()
