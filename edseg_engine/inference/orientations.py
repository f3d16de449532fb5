"""Directions from which the density is looked at.

The network is trained on density in any orientation, but its answers differ a little between them, and together they
are better than any single one (`docs/accuracy.md` says by how much). The 24 rotations of the voxel grid onto itself
need no new voxels: their answers are averaged voxel by voxel. Views are voxel grids turned by any angle: each has
voxels of its own, and their votes are pooled. The symmetry copies of a residue show it to the network in a few other
orientations, too; views do the same in every space group.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

_CANDIDATES = 500


@dataclass(frozen=True)
class Orientation:
    """A proper rotation of the grid: new axis i is old axis ``axes[i]``, reversed where ``signs[i]`` is -1."""

    axes: tuple[int, int, int]
    signs: tuple[int, int, int]

    @property
    def matrix(self) -> np.ndarray[tuple[int, int], np.dtype[np.int_]]:
        """Rotation matrix (3, 3) from old to new coordinates."""
        out = np.zeros((3, 3), np.int_)
        out[[0, 1, 2], self.axes] = self.signs
        return out

    @property
    def inverse(self) -> Orientation:
        """The rotation back."""
        first, second, third = (self.axes.index(axis) for axis in range(3))
        return Orientation((first, second, third), (self.signs[first], self.signs[second], self.signs[third]))

    def turn(self, volume: Tensor) -> Tensor:
        """Turn a volume ``(..., nx, ny, nz)``."""
        return volume.movedim([a - 3 for a in self.axes], [-3, -2, -1]).flip(self._reversed)

    def turn_vectors(self, field: Tensor) -> Tensor:
        """Turn a field of vectors ``(..., 3, nx, ny, nz)``: their places and their directions."""
        placed = self.turn(field).index_select(-4, torch.tensor(self.axes, device=field.device))
        return placed * placed.new_tensor(self.signs)[:, None, None, None]

    @property
    def _reversed(self) -> list[int]:
        return [axis - 3 for axis in range(3) if self.signs[axis] < 0]


def turned_points(points: Tensor, turn: Orientation, edge: float) -> Tensor:
    """Return positions (..., 3) in a cube with corners at 0 and `edge`, after it was turned about its centre."""
    matrix = torch.as_tensor(turn.matrix, dtype=points.dtype, device=points.device)
    return (points - edge / 2) @ matrix.T + edge / 2


@cache
def orientations(n: int) -> tuple[Orientation, ...]:
    """Return `n` orientations, the identity first, each as different as possible from those before it."""
    axes = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    every = [
        Orientation(order, (x, y, z))
        for order in axes
        for x, y, z in itertools.product((1, -1), repeat=3)
        if round(np.linalg.det(Orientation(order, (x, y, z)).matrix)) == 1
    ]
    chosen = [Orientation((0, 1, 2), (1, 1, 1))]
    while len(chosen) < n:
        # The trace of A B^T falls as the angle between two rotations grows.
        likeness = [max(int((a.matrix * b.matrix).sum()) for b in chosen) for a in every]
        chosen.append(every[int(np.argmin(likeness))])
    return tuple(chosen)


@cache
def views(n: int) -> tuple[NDArray[np.float64], ...]:
    """Return the axes, matrices (3, 3) of column vectors, of `n` voxel grids.

    The first lies along x, y, z; each other is as different as possible from those before it, whichever of its own 24
    rotations is taken.
    """
    grid = Rotation.create_group("O")
    candidates = Rotation.from_quat(np.random.default_rng(0).normal(size=(_CANDIDATES, 4)))
    chosen = [Rotation.identity()]
    angle = np.full(_CANDIDATES, np.inf)
    while len(chosen) < n:
        angle = np.minimum(angle, (chosen[-1].inv() * candidates).reduce(left=grid).magnitude())
        chosen.append(candidates[int(np.argmax(angle))])
    return tuple(rotation.as_matrix() for rotation in chosen)
