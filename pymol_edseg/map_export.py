"""A map object of PyMOL as the bytes of a CCP4 file.

PyMOL writes them itself (`pymol.exporting.get_ccp4str`), with cell, space group and start. Maps without cell sampling
have garbage in the header or no bytes at all; a map may have several states; a map moved on the screen keeps its
coordinates in the file. The engine minds neither PyMOL's normalisation nor origins, which are skew translations here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymol_edseg.records import MapReference

#: A cell has at most this many times the grid points of the map along an edge.
_MOST_CELLS = 200
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


class MapExportError(Exception):
    """The map object cannot be handed over, in a sentence for the user."""


@dataclass(frozen=True)
class ExportedMap:
    """A map taken out of PyMOL.

    Attributes
    ----------
    map
        The map object, its state and where it was moved to.
    data
        The bytes of a CCP4 file.
    """

    map: MapReference
    data: bytes


def map_names(cmd: Any) -> list[str]:
    """Return the names of all map objects."""
    return list(cmd.get_names_of_type("object:map"))


def require_map(cmd: Any, name: str) -> None:
    """Raise `MapExportError` if there is no such map."""
    if name not in map_names(cmd):
        known = ", ".join(map_names(cmd)) or "none is loaded"
        raise MapExportError(f"There is no map object {name!r} (maps: {known}).")


def export_map(cmd: Any, name: str) -> ExportedMap:
    """Take a map out of PyMOL.

    Raises
    ------
    MapExportError
        If there is no such map, or PyMOL does not know where its grid lies.
    """
    from pymol import exporting

    require_map(cmd, name)
    state = _shown_state(cmd, name)
    data = exporting.get_ccp4str(name, state, 1, "ccp4", _self=cmd)
    if not data:
        raise MapExportError(f"State {state} of {name} cannot be exported: it has no density on a grid.")
    data = _sound(bytes(data), name, cmd.get_symmetry(name, state))
    return ExportedMap(MapReference(name, state, _moved(cmd, name)), data)


def _shown_state(cmd: Any, name: str) -> int:
    states = cmd.count_states(name)
    own = int(cmd.get_object_state(name)) if states > 1 else 1
    return min(max(own, 1), max(states, 1))


def _moved(cmd: Any, name: str) -> tuple[float, ...] | None:
    ttt = cmd.get_object_ttt(name)
    if ttt is None or all(abs(a - b) < 1e-6 for a, b in zip(ttt, _IDENTITY, strict=True)):
        return None
    return tuple(ttt)


def _sound(data: bytes, name: str, symmetry: Sequence[Any] | None) -> bytes:
    """Return the bytes with a sampling that makes sense.

    Maps without a crystal (bricks) have a cell of 1 Å in PyMOL; it writes them with a cell that ends with their last
    grid point, and forgets to say how many intervals that makes.
    """
    order = "<" if struct.unpack_from("<i", data, 12)[0] in range(3) else ">"
    shape = [0, 0, 0]
    for axis, length in zip(
        struct.unpack_from(f"{order}3i", data, 64), struct.unpack_from(f"{order}3i", data), strict=True
    ):
        shape[axis - 1] = length
    if symmetry is None or list(symmetry[:3]) == [1.0, 1.0, 1.0]:
        data = data[:28] + struct.pack(f"{order}3i", *(n - 1 for n in shape)) + data[40:]
    sampling = struct.unpack_from(f"{order}3i", data, 28)
    cell = struct.unpack_from(f"{order}6f", data, 40)
    sound = all(0 < n <= _MOST_CELLS * points for n, points in zip(sampling, shape, strict=True))
    if not sound or not all(0 < x < 1e5 for x in cell):
        raise MapExportError(
            f"PyMOL does not say where the grid of {name} lies in space; save the map to a file and load that instead."
        )
    return data
