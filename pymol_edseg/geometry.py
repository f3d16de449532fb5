"""The ideal geometry of a residue's main chain, laid over where its atoms are voted to be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pymol_edseg.crystal import Position

#: N, CA, C and CB of an L-amino acid (Å; Engh and Huber's lengths and angles), CA at the origin and C along x.
_IDEAL: dict[str, Position] = {
    "N": (-0.529, 1.360, 0.0),
    "CA": (0.0, 0.0, 0.0),
    "C": (1.525, 0.0, 0.0),
    "CB": (-0.529, -0.774, -1.205),
}
_C_O, _CA_C_O = 1.231, math.radians(120.1)
_SQUARINGS = 20


def ideal_residue(voted: Mapping[str, Sequence[float]]) -> dict[str, Position]:
    """Return N, CA, C, O and CB in ideal geometry, as near as possible to where they are voted to be (Å).

    N, CA, C and CB are moved as a rigid body; O is turned about CA-C towards its own place.
    """
    moved = _superposed(list(_IDEAL.values()), [voted[name] for name in _IDEAL])
    atoms = dict(zip(_IDEAL, moved, strict=True))
    oxygen = _carbonyl(atoms, _minus(voted["O"], atoms["C"]))
    return {"N": atoms["N"], "CA": atoms["CA"], "C": atoms["C"], "O": oxygen, "CB": atoms["CB"]}


def turn_oxygen(atoms: Mapping[str, Position], following: Mapping[str, Position]) -> dict[str, Position]:
    """Return a residue with its O in the plane of the peptide bond to the N of the residue that follows."""
    return {**atoms, "O": _carbonyl(atoms, _minus(atoms["C"], following["N"]))}


def _carbonyl(atoms: Mapping[str, Position], towards: Sequence[float]) -> Position:
    """Return the place of O if it is turned about CA-C towards a direction."""
    axis = _unit(_minus(atoms["C"], atoms["CA"]))
    across = _minus(towards, _times(_dot(towards, axis), axis))
    if math.hypot(*across) < 1e-3:  # the direction is that of the axis: all turns are as good
        across = _cross(axis, _minus(atoms["CB"], atoms["CA"]))
    along, out = -_C_O * math.cos(_CA_C_O), _C_O * math.sin(_CA_C_O)
    return _plus(atoms["C"], _plus(_times(along, axis), _times(out, _unit(across))))


def _superposed(moving: Sequence[Position], fixed: Sequence[Sequence[float]]) -> list[Position]:
    """Return points moved as a rigid body so that they are as near as possible to others (Horn's quaternions)."""
    here, there = _mean(moving), _mean(fixed)
    pairs = [(_minus(a, here), _minus(b, there)) for a, b in zip(moving, fixed, strict=True)]
    s = [[math.fsum(a[i] * b[j] for a, b in pairs) for j in range(3)] for i in range(3)]
    matrix = [
        [s[0][0] + s[1][1] + s[2][2], s[1][2] - s[2][1], s[2][0] - s[0][2], s[0][1] - s[1][0]],
        [s[1][2] - s[2][1], s[0][0] - s[1][1] - s[2][2], s[0][1] + s[1][0], s[2][0] + s[0][2]],
        [s[2][0] - s[0][2], s[0][1] + s[1][0], s[1][1] - s[0][0] - s[2][2], s[1][2] + s[2][1]],
        [s[0][1] - s[1][0], s[2][0] + s[0][2], s[1][2] + s[2][1], s[2][2] - s[0][0] - s[1][1]],
    ]
    w, x, y, z = _greatest(matrix)
    rotation = (
        (w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
    )
    return [_plus(there, (_dot(rotation[0], a), _dot(rotation[1], a), _dot(rotation[2], a))) for a, _ in pairs]


def _greatest(matrix: Sequence[Sequence[float]]) -> list[float]:
    """Return the eigenvector of the greatest eigenvalue of a symmetric 4 x 4 matrix."""
    size = math.sqrt(math.fsum(x * x for row in matrix for x in row)) or 1.0
    # Squared again and again, a matrix without negative eigenvalues keeps only the greatest one's vector.
    power = [[x / size + (i == j) for j, x in enumerate(row)] for i, row in enumerate(matrix)]
    for _ in range(_SQUARINGS):
        squared = [[math.fsum(row[k] * power[k][j] for k in range(4)) for j in range(4)] for row in power]
        trace = math.fsum(squared[i][i] for i in range(4))
        power = [[x / trace for x in row] for row in squared]
    column = max(range(4), key=lambda i: power[i][i])
    vector = [row[column] for row in power]
    length = math.hypot(*vector)
    return [x / length for x in vector]


def _mean(points: Iterable[Sequence[float]]) -> Position:
    x, y, z = (math.fsum(axis) / len(axis) for axis in zip(*points, strict=True))
    return x, y, z


def _plus(a: Sequence[float], b: Sequence[float]) -> Position:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _minus(a: Sequence[float], b: Sequence[float]) -> Position:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _times(factor: float, a: Sequence[float]) -> Position:
    return factor * a[0], factor * a[1], factor * a[2]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _cross(a: Sequence[float], b: Sequence[float]) -> Position:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _unit(a: Sequence[float]) -> Position:
    return _times(1 / math.hypot(*a), a)
