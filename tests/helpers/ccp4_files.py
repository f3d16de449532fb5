"""Writes CCP4/MRC files word by word, so that tests can say anything that a header can say."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

Triple = tuple[int, int, int]


def ccp4_bytes(
    values: NDArray[np.generic],
    cell: gemmi.UnitCell,
    sampling: Triple,
    *,
    start: Triple = (0, 0, 0),
    axes: Triple = (1, 2, 3),
    spacegroup: int = 1,
    mode: int = 2,
    byte_order: str = "<",
    symmetry_bytes: int = 0,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    skew: tuple[list[float], list[float]] | None = None,
) -> bytes:
    """Return a map file of `values` (nu, nv, nw); `axes` are MAPC, MAPR, MAPS, `skew` are SKWMAT and SKWTRN."""
    order = [axis - 1 for axis in axes]
    words = np.zeros(256, dtype=byte_order + "i4")
    floats = words.view(byte_order + "f4")
    words[0:3] = [values.shape[axis] for axis in order]
    words[3] = mode
    words[4:7] = [start[axis] for axis in order]
    words[7:10] = sampling
    floats[10:16] = cell.parameters
    words[16:19] = axes
    words[22], words[23] = spacegroup, symmetry_bytes
    if skew:
        words[24] = 1
        floats[25:34], floats[34:37] = skew
    floats[49:52] = origin
    header = bytearray(words.tobytes())
    header[208:212] = b"MAP "
    header[212:216] = b"\x44\x41\0\0" if byte_order == "<" else b"\x11\x11\0\0"
    dtype = byte_order + {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}[mode]
    data = values.transpose(order[::-1]).astype(dtype).tobytes()  # sections, rows, columns
    return bytes(header) + b"*" * symmetry_bytes + data


def write_ccp4(path: Path, *args: object, **options: object) -> Path:
    path.write_bytes(ccp4_bytes(*args, **options))  # type: ignore[arg-type]
    return path
