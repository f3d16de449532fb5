"""CCP4 and MRC maps: the header is checked before anything is read, the values come out in the order u, v, w."""

from __future__ import annotations

import math
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.errors import MapContentError, MapFormatError
from edseg_engine.io.ccp4_header import Header, read_header
from edseg_engine.io.files import File
from edseg_engine.io.validation import check_points, check_values, described
from edseg_engine.memory import require_memory

#: Grid points times symmetry operators of the largest map whose copies are interpolated.
_MOST_INTERPOLATED = 500_000_000
#: Bytes for each grid point of the cell while symmetry copies are made.
_BYTES_PER_COPY = 16


def read_ccp4(file: File, name: str, resolution: float | None = None) -> DensityMap:
    """Read a CCP4 or MRC map.

    A crystal's map is expanded to the whole cell if the part in the file and its symmetry copies cover the cell.
    Otherwise, and for space group 0 (EM), the map is the box that the file covers. A nonzero MRC ORIGIN takes the
    place of N*START, as in PyMOL and ChimeraX; in space groups above 1 these header words are none and ignored,
    for symmetry operators refer to the origin of the cell. A skew translation (PyMOL) is added to positions.

    Parameters
    ----------
    file
        The opened file; see `edseg_engine.io.files.opened`.
    name
        Name for messages and for the report.
    resolution
        d_min in Å; the format has no place for it.

    Raises
    ------
    MapFormatError
        The file is damaged, or of a kind that is not supported.
    MapContentError
        Cell, grid or values make no sense for a density.
    DeviceError
        There is not enough memory.
    """
    header = read_header(file, name)
    _check_size(header, name)
    box = _read_values(file, header, name)
    check_values(box, name)

    whole = _whole_cell(box, header) if _can_fill_cell(header) else None
    density = DensityMap(
        values=box if whole is None else whole,
        grid=MapGrid(
            header.cell,
            header.spacegroup,
            header.sampling,
            header.start if whole is None else (0, 0, 0),
            header.origin,
        ),
        d_min=resolution,
        periodic=whole is not None,
        warnings=header.warnings,
    )
    return described(density, name, "CCP4/MRC", start=list(header.start), extent=list(header.shape))


def _read_values(file: File, header: Header, name: str) -> NDArray[np.float32]:
    """Return the values, shape (nu, nv, nw), that follow the header."""
    values = np.empty(math.prod(header.shape), header.dtype)
    rest = values.view(np.uint8).data
    while len(rest):
        n_read = file.readinto(rest[: 1 << 24])
        if not n_read:
            raise MapFormatError(
                f"{name} is truncated: {len(rest)} of {values.nbytes} bytes of its values are missing."
            )
        rest = rest[n_read:]
    file_shape = [0, 0, 0]
    for length, axis in zip(header.shape, header.axes, strict=True):
        file_shape[axis] = length
    return values.reshape(file_shape).transpose(header.axes).astype(np.float32, copy=False)


def _is_whole_cell(header: Header) -> bool:
    return all(length >= n for length, n in zip(header.shape, header.sampling, strict=True))


def _can_fill_cell(header: Header) -> bool:
    """Whether the box of the file may hold an asymmetric unit, as far as its volume goes."""
    n_points = math.prod(map(min, header.shape, header.sampling))
    return header.is_crystal and n_points * len(header.spacegroup.operations()) >= math.prod(header.sampling)


def _grid_has_symmetry(header: Header) -> bool:
    """Whether every symmetry operator moves grid points to grid points."""
    n = np.array(header.sampling)
    return all(
        not (np.array(op.tran) * n % op.DEN).any() and not (np.array(op.rot) * n[:, None] % (op.DEN * n)).any()
        for op in header.spacegroup.operations()
    )


def _check_size(header: Header, name: str) -> None:
    """Refuse what takes too much memory or time, before anything is read or expanded."""
    n_values, n_points = math.prod(header.shape), math.prod(header.sampling)
    needed = n_values * (header.dtype.itemsize + 4)
    if _is_whole_cell(header):
        needed += 4 * n_points
    elif _can_fill_cell(header):
        check_points(n_points, name)
        symmetry = header.spacegroup
        if n_points * len(symmetry.operations()) > _MOST_INTERPOLATED and not _grid_has_symmetry(header):
            raise MapContentError(
                f"{name} has a grid without the symmetry of {symmetry.xhm()}, too large to be interpolated; write "
                "the map of the whole cell."
            )
        needed += _BYTES_PER_COPY * n_points
    require_memory(needed, f"Reading {name}")


def _whole_cell(box: NDArray[np.float32], header: Header) -> NDArray[np.float32] | None:
    """Return the map of the whole cell, or None if the box and its symmetry copies leave gaps."""
    nu, nv, nw = header.sampling
    box = box[:nu, :nv, :nw]
    first = [s % n for s, n in zip(header.start, header.sampling, strict=True)]
    if _is_whole_cell(header):
        return np.roll(box, first, axis=(0, 1, 2)) if any(first) else box
    grid = gemmi.FloatGrid(nu, nv, nw)
    grid.set_unit_cell(header.cell)
    grid.fill(-np.inf)
    grid.set_subarray(np.asfortranarray(box), first)
    grid.spacegroup = header.spacegroup
    if not _grid_has_symmetry(header):
        return _interpolated_copies(grid)
    grid.symmetrize_max()
    values: NDArray[np.float32] = grid.array
    return None if np.isneginf(values.min()) else values


def _interpolated_copies(grid: gemmi.FloatGrid) -> NDArray[np.float32] | None:
    """Fill what is not finite in a cell with its symmetry copies, which fall between grid points; None if gaps remain.

    Fourier transforms never make such grids, but resampling does. Copies next to unknown points are interpolated as
    well as these allow.
    """
    operations = [(np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN) for op in grid.spacegroup.operations()]
    values: NDArray[np.float32] = grid.array.copy(order="F")
    copy = np.empty_like(values)
    orth = np.array(grid.unit_cell.orth.mat)
    for order in (3, 1, 0):
        for rot, tran in operations:
            unknown = ~np.isfinite(values)
            if not unknown.any():
                return values
            steps = orth @ (rot / np.array(grid.shape))
            grid.interpolate_values(copy, gemmi.Transform(gemmi.Mat33(steps.tolist()), gemmi.Vec3(*orth @ tran)), order)
            values[unknown] = copy[unknown]
    return values if np.isfinite(values).all() else None


def write_ccp4(values: NDArray[np.float32], grid: MapGrid, path: Path) -> None:
    """Write values, shape (nu, nv, nw), axis order u, v, w, on `grid`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    ccp4 = gemmi.Ccp4Map()
    ccp4.grid = gemmi.FloatGrid(np.asfortranarray(values, dtype=np.float32))
    ccp4.grid.set_unit_cell(grid.cell)
    ccp4.grid.spacegroup = grid.spacegroup
    ccp4.update_ccp4_header(2)
    (first,) = grid.positions(np.zeros((1, 3), int))
    for axis in range(3):
        ccp4.set_header_i32(5 + axis, grid.start[axis])
        ccp4.set_header_i32(8 + axis, grid.sampling[axis])
        if any(grid.origin):  # it takes the place of N*START
            ccp4.set_header_float(50 + axis, first[axis])
    with path.open("wb") as file:
        file.write(ccp4.ccp4_header)
        file.write(np.asfortranarray(values, dtype="<f4").T.data)
