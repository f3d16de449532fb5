"""Which other points of a unit cell could be its origin: two models of one crystal may be placed on different ones."""

from __future__ import annotations

import itertools

import numpy as np

from edseg_engine.crystal.symmetry import FloatArray, Symmetry

#: Origins of all space groups lie on this fraction of a cell from each other, along axes that are not polar.
_GRID = 12


def origin_shifts(symmetry: Symmetry) -> FloatArray:
    """Return the shifts of the origin under which the symmetry operations stay what they are.

    A shift t is one if (R - 1) t is a lattice translation, centring included, for each rotation R. Along a polar axis
    any shift is; these are left out.

    Returns
    -------
    array, shape (n, 3)
        Fractional coordinates in [0, 1), the first of them zero; none is a lattice translation of another.
    """
    identity = np.eye(3)
    if not symmetry.periodic:
        return np.zeros((1, 3))
    centring = symmetry.translations[(symmetry.rotations == identity).all((1, 2))]

    def on_lattice(shifts: FloatArray) -> FloatArray:
        difference = shifts[..., None, :] - centring
        return np.asarray((np.abs(difference - np.round(difference)) < 1e-6).all(-1).any(-1))

    grid = np.array(list(itertools.product(range(_GRID), repeat=3))) / _GRID
    moved = np.einsum("rij,nj->nri", symmetry.rotations - identity, grid)
    allowed = grid[on_lattice(moved).all(1)]
    polar = symmetry.rotations.mean(0)  # projects on what all rotations leave where it is
    allowed = (allowed - allowed @ polar.T) % 1.0
    kept = [np.zeros(3)]
    for shift in allowed:
        if not on_lattice(shift - np.array(kept)).any():
            kept.append(shift)
    return np.array(kept)
