"""Windows chosen so that residues of all types are seen equally often (thesis, section 4.3).

The measure is the chi-square distance of the observed shares of the types from equal ones. Windows to train on are
repeated, turned by rotations of the grid onto itself: never mirrored, because amino acids are chiral. Of windows to
validate with some are left out.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.dataset.labelled import Window
from edseg_engine.inference.orientations import Orientation, orientations, turned_points
from edseg_engine.options import MOST_ORIENTATIONS

T = TypeVar("T", bound=np.generic)

#: Times that a window is seen at most: as it is, and in nine other orientations.
MOST_OCCURRENCES = 10
#: Share of the windows to validate with that are kept.
KEPT = 0.8
#: Branches of the breadth-first search that are followed at a time.
_WIDTH = 8
#: A pass of the search that lowers the distance by less than this share of it is the last.
_GAIN = 1e-4


def chi_square_distance(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over classes of (H - U)² / H, where H are the observed shares and U = 1 / C (thesis 4.3).

    The thesis prints the denominator as H(I); that of the class is meant, with which its figures of the Protein Data
    Bank agree.

    Parameters
    ----------
    counts
        shape (..., C): how often each class was observed; the distance is infinite if one was not.

    Returns
    -------
    array, shape (...)
    """
    uniform = 1 / counts.shape[-1]
    shares = counts / counts.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.asarray(((shares - uniform) ** 2 / shares).sum(-1))


def occurrences(
    counts: NDArray[np.integer], rng: np.random.Generator, most: int = MOST_OCCURRENCES, width: int = _WIDTH
) -> NDArray[np.intp]:
    """Return how often each window is to be seen, 1 to `most` times, for the least distance of all together.

    A breadth-first search: one window after the other, in random order, is given each number of occurrences, and of all
    branches the `width` best are followed. The windows that have not had their turn count as often as in the pass
    before, at first once; passes are repeated until the distance no longer falls.

    Parameters
    ----------
    counts
        shape (n, C): residues of each class in each window. Classes that are in no window are left out.

    Returns
    -------
    array, shape (n,)
    """
    seen = _observed(counts)
    order = rng.permutation(np.flatnonzero(seen.any(1)))
    times = np.ones(len(counts), np.intp)
    distance = chi_square_distance(seen.sum(0))
    while True:
        better = _breadth_first(seen, times, order, most, width)
        found = chi_square_distance(better @ seen)
        if not found < distance * (1 - _GAIN):
            return times
        times, distance = better, found


def _breadth_first(
    counts: NDArray[np.float64], times: NDArray[np.intp], order: NDArray[np.intp], most: int, width: int
) -> NDArray[np.intp]:
    """Return the occurrences (n,) after one pass over the windows in some order."""
    choices = np.arange(1, most + 1)
    totals = (times @ counts)[None]
    levels = []
    for window in order:
        change = (choices - times[window])[:, None] * counts[window]
        branches = (totals[:, None] + change).reshape(-1, counts.shape[1])
        best = np.argsort(chi_square_distance(branches), kind="stable")[:width]
        levels.append((best // most, choices[best % most]))
        totals = branches[best]
    result, branch = times.copy(), 0
    for window, (parents, chosen) in zip(order[::-1], levels[::-1], strict=True):
        result[window] = chosen[branch]
        branch = parents[branch]
    return result


def selected(counts: NDArray[np.integer], share: float = KEPT) -> NDArray[np.bool_]:
    """Return which windows to keep, a `share` of them, for the least distance: the one that lowers it most goes first.

    Parameters
    ----------
    counts
        shape (n, C): residues of each class in each window. Classes that are in no window are left out.

    Returns
    -------
    array, shape (n,)
    """
    seen = _observed(counts)
    left = np.arange(len(counts))
    total = seen.sum(0)
    while len(left) > round(share * len(counts)):
        worst = int(np.argmin(chi_square_distance(total - seen[left])))
        total = total - seen[left[worst]]
        left = np.delete(left, worst)
    kept = np.zeros(len(counts), bool)
    kept[left] = True
    return kept


def _observed(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the counts of the classes that are in some window; without the others, the distance is finite."""
    return counts[:, counts.any(0)].astype(np.float64)


def orientations_of(times: int, rng: np.random.Generator) -> list[Orientation]:
    """Return `times` different rotations of the grid onto itself, in 90° steps; the first leaves it as it is."""
    every = orientations(MOST_ORIENTATIONS)
    others = rng.permutation(np.arange(1, len(every)))[: times - 1]
    return [every[0], *(every[i] for i in others)]


def turned(window: Window, orientation: Orientation, spacing: float) -> Window:
    """Return a window with voxels of `spacing` Å in another orientation: density, labels and positions alike."""
    edge = (window.density.shape[0] - 1) * spacing
    return Window(
        _turned(window.density, orientation),
        _turned(window.classes, orientation),
        _turned(window.residues, orientation),
        turned_points(torch.from_numpy(window.points), orientation, edge).numpy(),
    )


def _turned(volume: NDArray[T], orientation: Orientation) -> NDArray[T]:
    return np.ascontiguousarray(orientation.turn(torch.from_numpy(volume)).numpy())
