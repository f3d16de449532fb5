"""The density of a region on an orthogonal box of voxels, as the network reads it (thesis, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region
from edseg_engine.inference.normalise import DENSITY_THRESHOLD, density_scale, normalise
from edseg_engine.inference.orientations import views
from edseg_engine.resolution import ResolutionRange

#: Voxels whose membership of the region is settled at a time: bounds the memory for their coordinates.
_CHUNK = 2_000_000


@dataclass(frozen=True)
class Volume:
    """Normalised density on an orthogonal box, which may lie in any direction.

    Attributes
    ----------
    values
        float32, shape (nx, ny, nz): normalised density along the three axes; zero where the map is unknown.
    spacing
        Å between voxels.
    origin
        Position (x, y, z) in Å of the voxel (0, 0, 0).
    occupied
        bool, shape (nx, ny, nz): voxels of the region that carry density.
    axes
        Rotation matrix (3, 3) whose columns are the directions of the axes.
    """

    values: NDArray[np.float32] = field(repr=False)
    spacing: float
    origin: NDArray[np.float64]
    occupied: NDArray[np.bool_] = field(repr=False)
    axes: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    def positions(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return positions (n, 3) in Å of voxels given by their flat index (n,)."""
        steps = np.stack(np.unravel_index(index, self.values.shape), 1) * self.spacing
        return np.asarray(steps @ self.axes.T + self.origin)


def as_read(density: DensityMap, resolution_range: ResolutionRange) -> DensityMap:
    """Return a map as networks of a range read it: data finer than the range are low-passed to its `d_min`."""
    if density.d_min is None or density.d_min < resolution_range.d_min:
        return density.low_passed(resolution_range.d_min)
    return density


def prepare_volumes(
    density: DensityMap, region: Region, resolution_range: ResolutionRange, n_views: int = 1
) -> list[Volume]:
    """Resample the region, and a margin around it for the network to see, onto orthogonal voxels and normalise them.

    Parameters
    ----------
    density
        See `as_read`.
    n_views
        How many voxel grids, each of them a volume: the first along x, y, z, see
        `edseg_engine.inference.orientations.views`.
    """
    density = as_read(density, resolution_range)
    offset, scale = density_scale(density.values)
    spacing = resolution_range.spacing
    margin = resolution_range.frame
    volumes = []
    for axes in views(n_views):
        low, high = region.edges(axes)
        nx, ny, nz = (int(n) for n in np.ceil((high - low + 2 * margin) / spacing) + 1)
        origin = axes @ (low - margin)
        values = normalise(density.sample(origin, axes, (nx, ny, nz), spacing), offset, scale)
        volume = Volume(values, spacing, origin, values > DENSITY_THRESHOLD, axes)
        flat = volume.occupied.reshape(-1)
        candidates = np.flatnonzero(flat)
        for chunk in np.array_split(candidates, max(1, len(candidates) // _CHUNK)):
            flat[chunk] = region.contains(volume.positions(chunk))
        volumes.append(volume)
    return volumes
