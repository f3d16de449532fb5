"""Side chains turned about their bonds into the density, also where no library of rotamers has the conformation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from edseg_engine.building.records import FloatArray

#: Atoms along the bonds about which each side chain turns. Not CYS, which may be bonded to another.
_BONDS = {
    **dict.fromkeys(("SER", "THR", "VAL"), ("CA", "CB")),
    **dict.fromkeys(("ASN", "ASP", "HIS", "LEU", "PHE", "TRP", "TYR"), ("CA", "CB", "CG")),
    **dict.fromkeys(("GLN", "GLU"), ("CA", "CB", "CG", "CD")),
    "ILE": ("CA", "CB", "CG1"),
    "MET": ("CA", "CB", "CG", "SD"),
    "LYS": ("CA", "CB", "CG", "CD", "CE"),
    "ARG": ("CA", "CB", "CG", "CD", "NE"),
}
#: The second letter of an atom's name says how many bonds from CA it is.
_REMOTENESS = "ABGDEZH"
#: Angles about each bond that are tried, and conformations that are followed to the next.
_ANGLES, _FOLLOWED = np.radians(np.arange(0, 360, 15)), 40


def side_chain_atoms(name: str, atoms: Iterable[str]) -> list[str]:
    """Return those of the names of a residue's atoms that are beyond CB, if its side chain can be turned."""
    return [atom for atom in atoms if _remoteness(atom) > 1] if name in _BONDS else []


def conformations(
    name: str, atoms: Mapping[str, FloatArray], density: Callable[[FloatArray], FloatArray]
) -> list[dict[str, FloatArray]]:
    """Return conformations of a side chain, those with most density at their atoms first.

    Parameters
    ----------
    name
        Of the residue.
    atoms
        Positions (3,) in Å by name. Bonds and angles stay as they are.
    density
        Returns the density (n,) at positions (n, 3).
    """
    moving = side_chain_atoms(name, atoms)
    if not moving or any(atom not in atoms for atom in _BONDS[name]):
        return []
    names = [*dict.fromkeys((*_BONDS[name], *moving))]
    remoteness = np.array([_remoteness(atom) for atom in names])
    found = np.stack([atoms[atom] for atom in names])[None]
    for first, second in zip(_BONDS[name], _BONDS[name][1:], strict=False):
        reached = _remoteness(second) + 1
        turning = remoteness >= reached
        here = found[:, names.index(second)]
        axis = here - found[:, names.index(first)]
        found = np.repeat(found[:, None], len(_ANGLES), 1)
        found[:, :, turning] = _turned(found[:, 0, turning] - here[:, None], axis) + here[:, None, None]
        found = found.reshape(-1, len(names), 3)
        last = second == _BONDS[name][-1]
        seen = (remoteness > 1) & (last | (remoteness <= reached))
        score = density(found[:, seen].reshape(-1, 3)).reshape(len(found), -1).sum(1)
        found = found[np.argsort(-score, kind="stable")[:_FOLLOWED]]
    return [{atom: xyz[names.index(atom)] for atom in moving} for xyz in found]


def _remoteness(atom: str) -> int:
    return _REMOTENESS.find(atom[1]) if len(atom) > 1 and atom != "OXT" else 0


def _turned(points: FloatArray, axis: FloatArray) -> FloatArray:
    """Return points (b, n, 3) turned about axes (b, 3) by all angles, shape (b, angles, n, 3)."""
    k = (axis / np.linalg.norm(axis, axis=-1, keepdims=True))[:, None]
    sine, cosine = (f(_ANGLES)[:, None, None] for f in (np.sin, np.cos))
    along = k * (points * k).sum(-1, keepdims=True)
    return np.asarray(
        points[:, None] * cosine + np.cross(k, points)[:, None] * sine + along[:, None] * (1 - cosine), np.float64
    )
