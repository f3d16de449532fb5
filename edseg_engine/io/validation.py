"""What every map has to pass whatever its format, and the numbers that describe it in the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import MIN_SAMPLING, DensityMap
from edseg_engine.errors import MapContentError

_MAX_LENGTH = 5000.0
_MAX_VALUE = 1e15
_MAX_POINTS = 2**30
#: Values that differ less are lost in single precision.
_LEAST_RANGE = 1e-30


def check_cell(parameters: Sequence[float], name: str) -> gemmi.UnitCell:
    """Return the cell of the parameters a, b, c (Å), alpha, beta, gamma (degrees).

    Raises
    ------
    MapContentError
        A length is not within 0 ... 5000 Å, or the angles do not close a cell.
    """
    text = " ".join(f"{p:g}" for p in parameters)
    if not all(0 < length <= _MAX_LENGTH for length in parameters[:3]):
        raise MapContentError(f"{name} has the cell {text}; its lengths are not within 0 and {_MAX_LENGTH:g} Å.")
    angles_make_sense = all(0 < angle < 180 for angle in parameters[3:])
    alpha, beta, gamma = (math.cos(math.radians(angle)) if angles_make_sense else 1.0 for angle in parameters[3:])
    if not 1 + 2 * alpha * beta * gamma - alpha**2 - beta**2 - gamma**2 > 1e-3:
        raise MapContentError(f"{name} has the cell {text}; its angles make no cell.")
    return gemmi.UnitCell(*parameters)


def check_values(values: NDArray[np.generic], name: str) -> None:
    """Check that the values can be a density.

    Raises
    ------
    MapContentError
        Some values are NaN or infinite or absurdly large, or all are the same.
    """
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise MapContentError(f"{name} has values that are no numbers (NaN or infinite).")
    largest = max(abs(low), abs(high))
    if largest > _MAX_VALUE:
        raise MapContentError(f"{name} has values as large as {largest:.2g}, which are no density.")
    if high - low <= max(1e-6 * largest, _LEAST_RANGE):
        raise MapContentError(f"{name} has the same value, {low:g}, at every point.")


def check_points(n_points: float, name: str) -> None:
    """Check that a map has no more grid points than can be worked on.

    Raises
    ------
    MapContentError
        It has.
    """
    if n_points > _MAX_POINTS:
        raise MapContentError(f"{name} makes a map of {n_points:.3g} grid points; at most {_MAX_POINTS:.3g} are read.")


def checked_map(density: DensityMap) -> DensityMap:
    """Return a map that a caller made, with values in single precision.

    Raises
    ------
    MapContentError
        Its values, cell or grid make no sense for a density.
    """
    name, grid = str(density.source.get("file", "The map")), density.grid
    values = np.asarray(density.values)
    if values.ndim != 3 or values.dtype.kind not in "fiu" or min(values.shape) < 1:
        raise MapContentError(
            f"{name} has values of type {values.dtype} and shape {values.shape}; a density is real, along u, v and w."
        )
    check_values(values, name)
    check_cell(grid.cell.parameters, name)
    check_symmetry(grid.cell, grid.spacegroup, name)
    if min(grid.sampling) < MIN_SAMPLING:
        raise MapContentError(f"{name} has a cell sampling of {grid.sampling}; each edge needs {MIN_SAMPLING} points.")
    if density.periodic and (values.shape != tuple(grid.sampling) or any(grid.start)):
        raise MapContentError(
            f"{name} is said to be periodic, but its {values.shape} values from {grid.start} are not the "
            f"{grid.sampling} of the whole cell."
        )
    return replace(density, values=values.astype(np.float32, copy=False))


def check_symmetry(cell: gemmi.UnitCell, spacegroup: gemmi.SpaceGroup, name: str) -> None:
    """Check that the cell has the shape that the space group asks for.

    Raises
    ------
    MapContentError
        It has not.
    """
    if not cell.is_compatible_with_spacegroup(spacegroup, 0.01):
        text = " ".join(f"{p:g}" for p in cell.parameters)
        raise MapContentError(f"{name} has the cell {text}, which does not fit its space group {spacegroup.xhm()}.")


def described(density: DensityMap, name: str, file_format: str, **details: object) -> DensityMap:
    """Return the map with `source` filled in: JSON values that say what was read, `details` among them."""
    mean = float(density.values.mean(dtype=np.float64))
    # By planes: no float64 copy of the whole map.
    squares = sum(float(np.square(plane - mean, dtype=np.float64).sum()) for plane in density.values)
    variance = squares / density.values.size
    source = {
        "file": name,
        "format": file_format,
        "cell": list(density.cell.parameters),
        "spacegroup": density.spacegroup.xhm(),
        "sampling": list(density.grid.sampling),
        "start": list(density.grid.start),
        "extent": list(density.values.shape),
        "origin": list(density.grid.origin),
        "periodic": density.periodic,
        "d_min": density.d_min,
        "minimum": float(density.values.min()),
        "maximum": float(density.values.max()),
        "mean": mean,
        "sd": math.sqrt(variance),
        "rms": math.sqrt(variance + mean**2),
    }
    return replace(density, source=source | details)
