"""The header of CCP4 and MRC maps, checked against the size of the file before anything else is read."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import gemmi
import numpy as np

from edseg_engine.crystal.density_map import MIN_SAMPLING
from edseg_engine.errors import MapContentError, MapFormatError
from edseg_engine.io.files import File, most_bytes
from edseg_engine.io.validation import check_cell, check_points, check_symmetry

HEADER_BYTES = 1024
#: Value types of the MODEs that hold real numbers.
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
#: Grid spacings in Å that a map can have.
_SPACINGS = (0.05, 20.0)
_MAX_START = 1_000_000
_MAX_ORIGIN = 1e5
#: More bytes between header and values are not symmetry operators: 192 lines of 80 characters.
_MAX_SYMMETRY_BYTES = 15_360

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Header:
    """What the 256 words of the header say; triples are in the order a, b, c of the cell."""

    shape: Triple
    start: Triple
    sampling: Triple
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    is_crystal: bool
    origin: tuple[float, float, float]
    dtype: np.dtype
    axes: Triple  # axis of the file, slowest first, along a, b and c
    data_offset: int
    warnings: tuple[str, ...]


def read_header(file: File, name: str) -> Header:
    """Read the header of an opened file and leave it at the first value.

    Raises
    ------
    MapFormatError
        The file is damaged, or of a kind that is not supported.
    MapContentError
        Cell or grid make no sense for a density.
    """
    file.seek(0)
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
    if expected > most_bytes(file):
        raise MapFormatError(f"{name} is truncated: its values take {expected} bytes, more than the file holds.")
    check_points(math.prod(shape), name)
    operators = _operators(file.read(symmetry_bytes)) if symmetry_bytes <= _MAX_SYMMETRY_BYTES else []
    file.seek(data_offset)

    # The shortest decimals that stand for these floats: what the program that wrote them read from its own file.
    cell = check_cell([float(str(np.float32(x))) for x in floats[10:16]], name)
    _check_grid(cell, sampling, start, name)
    spacegroup, warnings = _spacegroup(words[22], operators, cell, name)
    origin = (0.0, 0.0, 0.0)
    has_symmetry = len(operators) > 1 or len(spacegroup.operations()) > 1
    if not has_symmetry and any(floats[49:52]):
        origin = (floats[49], floats[50], floats[51])
        start = (0, 0, 0)
    if words[24]:
        if not np.allclose(floats[25:34], np.eye(3).ravel(), atol=1e-4):
            raise MapFormatError(f"{name} has a skew rotation; write it without, on axes along its cell.")
        origin = (origin[0] + floats[34], origin[1] + floats[35], origin[2] + floats[36])
    if not all(abs(x) <= _MAX_ORIGIN for x in origin):
        raise MapContentError(f"{name} has its origin at {origin} Å, which is no place for a map.")
    is_crystal = has_symmetry or (words[22] == 1 and not any(origin))
    return Header(
        shape, start, sampling, cell, spacegroup, is_crystal, origin, dtype, axes, data_offset, tuple(warnings)
    )


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
        found = ", ".join(f"{spacing:.3g}" for spacing in spacings)
        raise MapContentError(f"{name} has grid spacings of {found} Å; cell and sampling do not belong together.")
    if max(map(abs, start)) > _MAX_START:
        raise MapContentError(f"{name} starts at the grid point {start}, which is absurdly far from its cell.")


def _operators(text: bytes) -> list[gemmi.Op]:
    """Return the symmetry operators of the lines after the header, or none if these are something else."""
    operators: list[gemmi.Op] = []
    for at in range(0, len(text), 80):
        for triplet in text[at : at + 80].decode("latin-1").strip(" \0").split("*"):
            if triplet.strip():
                try:
                    operators.append(gemmi.Op(triplet.strip()))
                except (RuntimeError, ValueError):
                    return []
    return list(dict.fromkeys(operators))


def _spacegroup(
    number: int, operators: list[gemmi.Op], cell: gemmi.UnitCell, name: str
) -> tuple[gemmi.SpaceGroup, list[str]]:
    """Return the space group and warnings. Operators say more than the number, which has no settings; a single one
    is what programs write without knowing the symmetry."""
    if len(operators) > 1:
        found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operators))
        if found is None:
            return gemmi.SpaceGroup("P 1"), [  # type: ignore[unreachable]
                f"{name} has symmetry operators of no known space group; it is read as P 1."
            ]
        check_symmetry(cell, found, name)
        if number > 1 and number not in (found.number, found.ccp4):
            return found, [
                f"{name} has the symmetry operators of {found.xhm()} but space group number {number}; it is read as "
                f"{found.xhm()}."
            ]
        return found, []
    if number <= 1:
        return gemmi.SpaceGroup("P 1"), []
    spacegroup = gemmi.find_spacegroup_by_number(number)
    if spacegroup is None:
        raise MapFormatError(f"{name} has the unknown space group number {number}.")
    if spacegroup.ext == "H" and abs(cell.gamma - 120) > 1:
        spacegroup = gemmi.SpaceGroup(spacegroup.hm + ":R")
    check_symmetry(cell, spacegroup, name)
    return spacegroup, []
