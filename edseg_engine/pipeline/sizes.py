"""How much a run reads, and the memory that it needs."""

from __future__ import annotations

import numpy as np

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region
from edseg_engine.inference.orientations import views as grid_axes
from edseg_engine.memory import require_memory
from edseg_engine.resolution import ResolutionRange

#: Bytes needed for each voxel of the region's box, and for each value of the input map, with all intermediate arrays.
_BYTES_PER_VOXEL, _BYTES_PER_VALUE = 60, 16
#: Bytes of the libraries and the network, whatever the map.
BYTES_FIXED = 1.2e9


def memory_needed(density: DensityMap, region: Region, resolution_range: ResolutionRange, n_views: int) -> float:
    """Return about how many bytes a run on a region of a map needs, PyTorch and the other libraries included."""
    voxels = box_voxels(region, resolution_range, n_views)
    return _BYTES_PER_VOXEL * voxels + _BYTES_PER_VALUE * density.values.size + BYTES_FIXED


def memory_of_cycles(needed: float, cycles: int) -> float:
    """Return the bytes for several readings, given those for one: the best is kept while the next is made."""
    return needed + (min(cycles, 2) - 1) * (needed - BYTES_FIXED)


def box_voxels(region: Region, resolution_range: ResolutionRange, n_views: int) -> float:
    """Return how many voxels the boxes around the views of a region have."""
    voxels = 0.0
    for low, high in map(region.edges, grid_axes(n_views)):
        voxels += float(np.prod((high - low + 2 * resolution_range.frame) / resolution_range.spacing))
    return voxels


def require_run_memory(needed: float) -> None:
    """Check that the bytes that a run needs are free.

    Raises
    ------
    DeviceError
        If they are not.
    """
    require_memory(needed, "This run", "close other programs, or work on one asymmetric unit or a part of the map")
