"""On which origin of its crystal a model lies: two models may be placed on different ones, and be the same."""

from __future__ import annotations

import itertools

import numpy as np

from edseg_engine.crystal.symmetry import FloatArray, IntArray, Symmetry

#: Origins of all space groups lie on this fraction of a cell from each other, along axes that are not polar.
_GRID = 12
#: Coarsest steps (Å) in which shifts are tried, and the blur (Å) of positions that goes with them.
_STEP, _BLUR = 2.0, 1.5


def origin_shifts(symmetry: Symmetry) -> FloatArray:
    """Return the shifts of the origin under which the symmetry operations stay what they are.

    A shift t is one if (R - 1) t is a lattice translation, centring included, for each rotation R. Along a polar axis
    any shift is; these are left out, see `polar_projection`.

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
    allowed = (allowed - allowed @ polar_projection(symmetry).T) % 1.0
    kept = [np.zeros(3)]
    for shift in allowed:
        if not on_lattice(shift - np.array(kept)).any():
            kept.append(shift)
    return np.array(kept)


def polar_projection(symmetry: Symmetry) -> FloatArray:
    """Return the matrix (3, 3) that leaves of a fractional vector what lies along polar axes."""
    return np.asarray(symmetry.rotations.mean(0)) if symmetry.periodic else np.zeros((3, 3))


def likeliest_shift(positions: FloatArray, targets: FloatArray, symmetry: Symmetry) -> FloatArray:
    """Return the shift of the origin (3,), fractional, that brings positions (n, 3) in Å nearest to targets (m, 3).

    The two are correlated over the whole cell by Fourier transforms, and the best of the shifts that the space group
    allows is taken. Along polar axes it is right to about a step of 2 Å.
    """
    edges = np.array(symmetry.cell.parameters[:3])
    shape = _GRID * np.ceil(edges / (_GRID * _STEP)).astype(int)
    h, k = (np.fft.fftfreq(n, 1 / n) for n in shape[:2])
    reciprocal = (
        np.stack(np.meshgrid(h, k, np.arange(shape[2] // 2 + 1), indexing="ij"), -1) @ symmetry.fractionalisation
    )
    blur = np.exp(-2 * (np.pi * _BLUR) ** 2 * (reciprocal**2).sum(-1))
    theirs, ours = (np.fft.rfftn(_counted(points, symmetry, shape)) for points in (targets, positions))
    likeness = np.fft.irfftn(theirs * ours.conj() * blur, tuple(shape), axes=(0, 1, 2))
    columns = polar_projection(symmetry).T
    shifts = origin_shifts(symmetry)
    for axis in np.unique([c / np.abs(c).max() for c in columns if np.abs(c).max() > 1e-6], axis=0).reshape(-1, 3):
        n = shape[np.flatnonzero(axis)[0]]
        shifts = (shifts[:, None] + np.arange(n)[:, None] / n * axis).reshape(-1, 3)
    x, y, z = (np.round(shifts * shape).astype(int) % shape).T
    return np.asarray(shifts[likeness[x, y, z].argmax()])


def _counted(positions: FloatArray, symmetry: Symmetry, shape: IntArray) -> FloatArray:
    """Return how many copies of positions (n, 3) in Å are at each point of a grid over the cell."""
    fractional = symmetry.to_fractional(positions)
    copies = np.einsum("rij,nj->rni", symmetry.rotations, fractional) + symmetry.translations[:, None]
    counts = np.zeros(tuple(shape))
    np.add.at(counts, tuple((np.round(copies * shape).astype(int) % shape).reshape(-1, 3).T), 1.0)
    return counts
