"""CCP4 and MRC maps: the header is checked before anything is read, the values come out in the order u, v, w."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import MIN_SAMPLING, DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.errors import MapContentError, MapFormatError
from edseg_engine.io.validation import check_cell, check_symmetry, check_values, described

HEADER_BYTES = 1024
#: Value types of the MODEs that hold real numbers.
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
#: Grid spacings in Å that a map can have.
_SPACINGS = (0.05, 20.0)
_MAX_START = 1_000_000
_MAX_ORIGIN = 1e5

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class _Header:
    """What the 256 words of the header say; triples are in the order a, b, c of the cell."""

    shape: Triple
    start: Triple
    sampling: Triple
    cell: gemmi.UnitCell
    spacegroup_number: int
    origin: tuple[float, float, float]
    dtype: np.dtype
    axes: Triple  # axis of the file, slowest first, along a, b and c
    data_offset: int


def read_ccp4(path: Path, name: str, resolution: float | None = None) -> DensityMap:
    """Read a CCP4 or MRC map.

    A crystal's map is expanded to the whole cell if the part in the file and its symmetry copies cover the cell.
    Otherwise, and for space group 0 (EM), the map is the box that the file covers. A nonzero MRC ORIGIN takes the
    place of N*START, as in PyMOL and ChimeraX; in space groups above 1 these header words are none and ignored,
    for symmetry operators refer to the origin of the cell. A skew translation (PyMOL) is added to positions.

    Parameters
    ----------
    path
        The file, not compressed.
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
    """
    header = _read_header(path, name)
    size = math.prod(header.shape)
    data = np.fromfile(path, dtype=header.dtype, count=size, offset=header.data_offset)
    if data.size != size:
        raise MapFormatError(f"{name} is truncated: {data.size} of {size} values are there.")
    file_shape = [0, 0, 0]
    for length, axis in zip(header.shape, header.axes, strict=True):
        file_shape[axis] = length
    box = data.reshape(file_shape).transpose(header.axes).astype(np.float32, copy=False)
    check_values(box, name)

    spacegroup = _spacegroup(header, name)
    crystal = header.spacegroup_number > 1 or (header.spacegroup_number == 1 and not any(header.origin))
    whole = _whole_cell(box, header, spacegroup) if crystal else None
    density = DensityMap(
        values=box if whole is None else whole,
        grid=MapGrid(
            header.cell, spacegroup, header.sampling, header.start if whole is None else (0, 0, 0), header.origin
        ),
        d_min=resolution,
        periodic=whole is not None,
    )
    return described(density, name, "CCP4/MRC", start=list(header.start), extent=list(header.shape))


def _read_header(path: Path, name: str) -> _Header:
    with path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        raise MapFormatError(f"{name} is truncated: it ends within the header of the map.")
    order = next((o for o in "<>" if sorted(struct.unpack(o + "3i", raw[64:76])) == [1, 2, 3]), None)
    if order is None:
        raise MapFormatError(
            f"{name} is a damaged map: its axis order (MAPC, MAPR, MAPS) is no permutation of 1, 2, 3."
        )
    words = struct.unpack(order + "256i", raw)
    floats = struct.unpack(order + "256f", raw)

    mode, symmetry_bytes = words[3], words[23]
    if mode not in _MODES:
        raise MapFormatError(f"{name} has values of MODE {mode}; maps have {', '.join(map(str, _MODES))}.")
    dtype = np.dtype(order + _MODES[mode])
    # The file's axes, slowest first: section, row, column.
    along = [words[18] - 1, words[17] - 1, words[16] - 1]
    axes = (along.index(0), along.index(1), along.index(2))
    shape = _along_cell(words[0:3], axes)
    start = _along_cell(words[4:7], axes)
    sampling = (words[7], words[8], words[9])
    if min(shape) < 1 or symmetry_bytes < 0:
        raise MapFormatError(f"{name} is a damaged map: its header gives it {shape} points.")
    data_offset = HEADER_BYTES + symmetry_bytes
    expected = data_offset + math.prod(shape) * dtype.itemsize
    if expected > path.stat().st_size:
        raise MapFormatError(f"{name} is truncated: it has {path.stat().st_size} of {expected} bytes.")

    cell = check_cell(floats[10:16], name)
    _check_grid(cell, sampling, start, name)
    spacegroup_number = words[22]
    origin = (0.0, 0.0, 0.0)
    if spacegroup_number <= 1 and any(floats[49:52]):
        origin = (floats[49], floats[50], floats[51])
        start = (0, 0, 0)
    if words[24]:
        if not np.allclose(floats[25:34], np.eye(3).ravel(), atol=1e-4):
            raise MapFormatError(f"{name} has a skew rotation; write it without, on axes along its cell.")
        origin = (origin[0] + floats[34], origin[1] + floats[35], origin[2] + floats[36])
    if not all(abs(x) <= _MAX_ORIGIN for x in origin):
        raise MapContentError(f"{name} has its origin at {origin} Å, which is no place for a map.")
    return _Header(shape, start, sampling, cell, spacegroup_number, origin, dtype, axes, data_offset)


def _along_cell(columns_rows_sections: tuple[int, ...], axes: Triple) -> Triple:
    slowest_first = columns_rows_sections[::-1]
    return (slowest_first[axes[0]], slowest_first[axes[1]], slowest_first[axes[2]])


def _check_grid(cell: gemmi.UnitCell, sampling: Triple, start: Triple, name: str) -> None:
    if min(sampling) < MIN_SAMPLING:
        raise MapContentError(
            f"{name} has a cell sampling of {sampling}; each edge needs at least {MIN_SAMPLING} grid points."
        )
    spacings = [length / n for length, n in zip(cell.parameters[:3], sampling, strict=True)]
    if not all(_SPACINGS[0] <= spacing <= _SPACINGS[1] for spacing in spacings):
        told = ", ".join(f"{spacing:.3g}" for spacing in spacings)
        raise MapContentError(f"{name} has grid spacings of {told} Å; cell and sampling do not belong together.")
    if max(map(abs, start)) > _MAX_START:
        raise MapContentError(f"{name} starts at the grid point {start}, which is absurdly far from its cell.")


def _spacegroup(header: _Header, name: str) -> gemmi.SpaceGroup:
    if header.spacegroup_number <= 1:
        return gemmi.SpaceGroup("P 1")
    spacegroup = gemmi.find_spacegroup_by_number(header.spacegroup_number)
    if spacegroup is None:
        raise MapFormatError(f"{name} has the unknown space group number {header.spacegroup_number}.")
    if spacegroup.ext == "H" and abs(header.cell.gamma - 120) > 1:
        spacegroup = gemmi.SpaceGroup(spacegroup.hm + ":R")
    check_symmetry(header.cell, spacegroup, name)
    return spacegroup


def _whole_cell(box: NDArray[np.float32], header: _Header, spacegroup: gemmi.SpaceGroup) -> NDArray[np.float32] | None:
    """Return the map of the whole cell, or None if the box and its symmetry copies leave gaps."""
    nu, nv, nw = header.sampling
    box = box[:nu, :nv, :nw]
    first = [s % n for s, n in zip(header.start, header.sampling, strict=True)]
    if box.shape == header.sampling:
        return np.roll(box, first, axis=(0, 1, 2)) if any(first) else box
    if box.size * len(spacegroup.operations()) < nu * nv * nw:
        return None
    grid = gemmi.FloatGrid(nu, nv, nw)
    grid.set_unit_cell(header.cell)
    grid.fill(-np.inf)
    grid.set_subarray(np.asfortranarray(box), first)
    grid.spacegroup = spacegroup
    try:
        grid.symmetrize_max()
    except RuntimeError:  # the grid does not have the symmetry of the space group
        return _interpolated_copies(grid)
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
