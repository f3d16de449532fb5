"""How far voted atoms of a backbone are from the geometry of an L-amino acid (thesis, chapter 7, names this as a next
step).

Votes are means over what may be there: where a voxel cannot tell which way a peptide faces, its vote for O lies between
both, too near to C. A term for the shape of the residue that a voxel votes for makes it decide.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edseg_engine.labels import ATOMS

#: Bonds in Å and angles in degrees around the second atom (Engh & Huber 2001, International Tables F, 18.3).
BONDS = {("N", "CA"): 1.459, ("CA", "C"): 1.525, ("C", "O"): 1.229, ("CA", "CB"): 1.530}
_ANGLES = {("N", "CA", "C"): 111.0, ("CA", "C", "O"): 120.1, ("N", "CA", "CB"): 110.6, ("C", "CA", "CB"): 110.1}
#: Area (Å²) that two bonds span: volumes divided by it are heights in Å.
_AREA = 2.1


def _length(first: str, second: str) -> float:
    return BONDS.get((first, second)) or BONDS[second, first]


def _opposite(first: str, middle: str, last: str) -> float:
    """Return the distance (Å) of the two outer atoms of an angle."""
    a, b, angle = _length(first, middle), _length(middle, last), math.radians(_ANGLES[first, middle, last])
    return math.sqrt(a * a + b * b - 2 * a * b * math.cos(angle))


def _volume() -> float:
    """Return the chiral volume (Å³) of CA that bonds and angles imply."""
    x, y, z = (math.cos(math.radians(_ANGLES[a, "CA", b])) for a, b in (("N", "C"), ("N", "CB"), ("C", "CB")))
    edges = BONDS["N", "CA"] * BONDS["CA", "C"] * BONDS["CA", "CB"]
    return edges * math.sqrt(1 + 2 * x * y * z - x * x - y * y - z * z)


_DISTANCES = {**BONDS, **{(a, c): _opposite(a, b, c) for a, b, c in _ANGLES}}
#: Positive in L-amino acids.
CHIRAL_VOLUME = _volume()


def distance(atoms: Tensor, first: str, second: str) -> Tensor:
    """Return the distance (n,) in Å of two of the voted atoms (n, 7, 3), see `edseg_engine.labels.ATOMS`."""
    return torch.linalg.vector_norm(_atom(atoms, first) - _atom(atoms, second), dim=1)


def chiral_volume(atoms: Tensor) -> Tensor:
    """Return the signed volume (n,) in Å³ of the vectors from CA to N, C and CB, near to `CHIRAL_VOLUME`."""
    return _triple(atoms, "CA", "N", "C", "CB")


def strain(atoms: Tensor, known: Tensor) -> Tensor:
    """Return how far residues are from ideal geometry, in Å².

    It is the mean of the squared errors of four bonds, of the four distances across an angle, of the height of CB above
    the plane of N, CA and C, whose sign is the chirality, and of the height of the next CA above the plane of CA, C and
    O, which is zero in cis and trans peptides. Terms with atoms that are not known are zero.

    Parameters
    ----------
    atoms
        shape (n, 7, 3): positions in Å, from any origin, in the order of `edseg_engine.labels.ATOMS`.
    known
        bool, shape (n, 7): which of them the residue has.

    Returns
    -------
    Tensor, shape (n,)
    """
    errors: dict[tuple[str, ...], Tensor] = {pair: distance(atoms, *pair) - ideal for pair, ideal in _DISTANCES.items()}
    errors["CA", "N", "C", "CB"] = (chiral_volume(atoms) - CHIRAL_VOLUME) / _AREA
    errors["C", "CA", "O", "next CA"] = _triple(atoms, "C", "CA", "O", "next CA") / _AREA
    nothing = atoms.new_zeros(())
    return torch.stack([e.square().where(_all_known(known, names), nothing) for names, e in errors.items()]).mean(0)


def _atom(atoms: Tensor, name: str) -> Tensor:
    return atoms[:, ATOMS.index(name)]


def _all_known(known: Tensor, names: tuple[str, ...]) -> Tensor:
    return known[:, [ATOMS.index(name) for name in names]].all(1)


def _triple(atoms: Tensor, center: str, *others: str) -> Tensor:
    """Return the triple product (n,) in Å³ of the vectors from an atom to three others."""
    a, b, c = (_atom(atoms, name) - _atom(atoms, center) for name in others)
    return (a * torch.linalg.cross(b, c)).sum(1)
