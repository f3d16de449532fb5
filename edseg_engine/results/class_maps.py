"""Class probabilities on the user's own grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.region import Region
from edseg_engine.inference.normalise import DENSITY_THRESHOLD, density_scale
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.inference.volume import Volume


@dataclass(frozen=True)
class ClassMaps:
    """One map per residue class, made when it is asked for: all 17 at once may be larger than the memory.

    Attributes
    ----------
    grid
        Grid of the maps, which is that of the input.
    shape
        Points of the grid along u, v, w.
    """

    grid: MapGrid
    shape: tuple[int, int, int]
    _points: NDArray[np.intp] = field(repr=False)
    _voxels: NDArray[np.float32] = field(repr=False)
    _volume_shape: tuple[int, int, int] = field(repr=False)
    _prediction: VoxelPrediction = field(repr=False)

    def of_label(self, label: int) -> NDArray[np.float32]:
        """Return the probability of a class, float32 (nu, nv, nw), axis order u, v, w; zero without density."""
        volume = np.zeros(self._volume_shape, np.float32)
        volume.reshape(-1)[self._prediction.index] = self._prediction.probabilities[:, label]
        values = np.zeros(self.shape, np.float32)
        values.reshape(-1)[self._points] = ndimage.map_coordinates(volume, self._voxels, order=1, prefilter=False)
        return values


def class_maps(density: DensityMap, region: Region, volume: Volume, prediction: VoxelPrediction) -> ClassMaps:
    """Prepare the class maps of a run: find for each grid point with density its copy inside the region."""
    offset, scale = density_scale(density.values)
    points = np.flatnonzero(density.values.reshape(-1) > offset + scale * DENSITY_THRESHOLD)
    symmetry = region.symmetry
    xyz = density.grid.positions(np.stack(np.unravel_index(points, density.values.shape), 1))
    if symmetry.periodic:
        reach = np.linalg.norm(region.high - region.low)
        centres = symmetry.images_in_box(region.centres[:1], xyz.min(0) - reach, xyz.max(0) + reach)
        nearest = cKDTree(centres.positions).query(xyz)[1]
        xyz = symmetry.undo(xyz, centres.operation[nearest], centres.shift[nearest])
    voxels = ((xyz - volume.origin) / volume.spacing).T.astype(np.float32)
    nu, nv, nw = density.values.shape
    return ClassMaps(density.grid, (nu, nv, nw), points, voxels, volume.values.shape, prediction)
