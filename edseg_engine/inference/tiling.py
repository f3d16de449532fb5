"""Which parts of a volume the network is run on.

The thesis (5.3.2) runs overlapping windows everywhere and computes a voxel several times. Here every occupied voxel
belongs to the core of exactly one tile; the frame around the core is computed and thrown away. Tiles shrink to what
they hold, tiles without density are not run, and of several tile sizes the one that costs least is taken.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The network halves the grid twice; tiles in multiples of four keep its levels aligned with those it was trained on.
GRANULE = 4

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Tile:
    """A block of a volume: `outer` is read, `core` is kept (slices along x, y, z of the volume)."""

    outer: Slices
    core: Slices

    @property
    def inner(self) -> Slices:
        """The core, counted from the start of the block that is read."""
        i, j, k = (slice(c.start - o.start, c.stop - o.start) for c, o in zip(self.core, self.outer, strict=True))
        return i, j, k

    @property
    def voxels(self) -> int:
        """Voxels to compute."""
        return int(np.prod([s.stop - s.start for s in self.outer]))


def plan_tiles(occupied: NDArray[np.bool_], frame: int, largest: int) -> list[Tile]:
    """Cover all occupied voxels with the cheapest set of tiles.

    Parameters
    ----------
    occupied
        bool, shape (nx, ny, nz).
    frame
        Voxels around a core that are read but not kept.
    largest
        Longest edge in voxels of a block that is read.
    """
    frame = -(-frame // GRANULE) * GRANULE
    candidates = list(range(16, largest - 2 * frame + 1, 8)) or [GRANULE]
    plans = [_tiles_of_size(occupied, core, frame) for core in candidates]
    return min(plans, key=lambda plan: sum(tile.voxels for tile in plan))


def _tiles_of_size(occupied: NDArray[np.bool_], core: int, frame: int) -> list[Tile]:
    tiles = []
    filled = [np.flatnonzero(occupied.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(filled[0]):
        return []
    starts = [range(f[0], f[-1] + 1, core) for f in filled]
    for corner in itertools.product(*starts):
        block = occupied[tuple(slice(c, c + core) for c in corner)]
        if not block.any():
            continue
        outer, kept = [], []
        for axis, start in enumerate(corner):
            inside = np.flatnonzero(block.any(axis=tuple({0, 1, 2} - {axis})))
            first, last = start + int(inside[0]), start + int(inside[-1]) + 1
            kept.append(slice(first, last))
            low = max(0, first - frame) // GRANULE * GRANULE
            high = min(occupied.shape[axis], -(-(last + frame) // GRANULE) * GRANULE)
            outer.append(slice(low, high))
        tiles.append(Tile((outer[0], outer[1], outer[2]), (kept[0], kept[1], kept[2])))
    return tiles
