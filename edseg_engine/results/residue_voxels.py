"""The density of each residue, for viewers: which voxels are its own, and the map around all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry

#: Å of density around the voxels that go with them.
MARGIN = 4.0


@dataclass(frozen=True)
class ResidueVoxels:
    """The voxels that voted for a residue, where the residue was placed.

    Attributes
    ----------
    positions
        float64, shape (n, 3): x, y, z in Å in the frame of the input map.
    residue
        shape (n,): id of the residue; ascending.
    spacing
        Å between neighbouring voxels of a residue.
    density
        The input map on its own grid, over the box of the voxels; beyond the file's box by the crystal's symmetry.
    """

    positions: NDArray[np.float64] = field(repr=False)
    residue: NDArray[np.intp] = field(repr=False)
    spacing: float
    density: DensityMap


def residue_voxels(
    density: DensityMap,
    symmetry: Symmetry,
    positions: NDArray[np.floating],
    votes: NDArray[np.floating],
    residue: NDArray[np.intp],
    centroids: NDArray[np.floating],
    spacing: float,
) -> ResidueVoxels:
    """Move each voxel to that symmetry copy of it which votes for its residue.

    Parameters
    ----------
    positions, votes
        shape (m, 3): where the voxels are and the centroids they point at, in Å.
    residue
        shape (m,): id of each voxel's residue; 0 for none.
    centroids
        shape (k, 3): where the residues 1 to k were placed, in Å.
    """
    order = np.argsort(residue, kind="stable")[np.count_nonzero(residue <= 0) :]
    residue = residue[order]
    goal = np.asarray(centroids, float).reshape(-1, 3)[residue - 1]
    copies = symmetry.nearest_copies(votes[order].astype(np.float64), goal.astype(np.float64))
    placed = symmetry.apply(positions[order].astype(np.float64), *copies)
    return ResidueVoxels(placed, residue, spacing, density_around(density, placed))


def density_around(density: DensityMap, positions: NDArray[np.float64]) -> DensityMap:
    """Return the map on its own grid over the box of `positions` (n, 3), and `MARGIN` more on each side."""
    grid, sampling = density.grid, np.array(density.grid.sampling)
    fractional = grid.fractional(positions)
    reach = MARGIN * np.linalg.norm(np.array(grid.cell.frac.mat.tolist()), axis=1)
    low, high = (fractional.min(0), fractional.max(0)) if len(positions) else (np.zeros(3), np.zeros(3))
    first = np.floor((low - reach) * sampling).astype(int)
    last = np.ceil((high + reach) * sampling).astype(int)
    if not density.periodic:
        first = np.clip(first, grid.start, np.array(grid.start) + density.values.shape - 1)
        last = np.clip(last, first, np.array(grid.start) + density.values.shape - 1)
    rows = [np.arange(a, b + 1) - s for a, b, s in zip(first, last, grid.start, strict=True)]
    if density.periodic:
        rows = [row % n for row, n in zip(rows, grid.sampling, strict=True)]
    return DensityMap(
        values=density.values[np.ix_(*rows)],
        # The box is no asymmetric unit; without symmetry it is not mistaken for one.
        grid=replace(grid, spacegroup=gemmi.SpaceGroup("P 1"), start=(int(first[0]), int(first[1]), int(first[2]))),
        d_min=density.d_min,
        periodic=False,
        source=density.source,
    )
