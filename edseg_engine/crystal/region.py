"""The part of a map that is worked on: an asymmetric unit, a unit cell, or the box that the file covers.

The asymmetric unit is a Dirichlet domain: the points that lie nearer to a chosen centre than to any symmetry copy of
that centre. Such a domain holds every point of the crystal exactly once in any space group, and it is compact, which
keeps the border, where windows overlap, small.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Voronoi, cKDTree

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import OptionError
from edseg_engine.options import REGIONS, Box, check_choice

_CANDIDATES = 200
_EQUAL = 1e-4
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Region:
    """What is worked on.

    Attributes
    ----------
    name
        ``"asu"``, ``"cell"`` or ``"box"``.
    symmetry
        The copies of a position that count as the same one.
    corners
        shape (n, 3): corners (Å) of a convex body that holds the region.
    centres
        shape (n, 3): the centre of the Dirichlet domain, first, and its copies; empty for a box.
    """

    name: str
    symmetry: Symmetry
    corners: NDArray[np.float64]
    centres: NDArray[np.float64]

    @property
    def low(self) -> NDArray[np.float64]:
        """Lowest x, y, z (Å) of the region."""
        return np.asarray(self.corners.min(0))

    @property
    def high(self) -> NDArray[np.float64]:
        """Highest x, y, z (Å) of the region."""
        return np.asarray(self.corners.max(0))

    def edges(self, axes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest coordinate (Å) of the region along each column of `axes` (3, 3)."""
        along = self.corners @ axes
        return along.min(0), along.max(0)

    def contains(self, positions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for each position (n, 3) in Å whether the region holds it."""
        if not len(self.centres):
            return np.asarray(((positions >= self.low) & (positions <= self.high)).all(1))
        nearest = cKDTree(self.centres).query(positions, workers=1)[1]
        return np.asarray(nearest == 0)


def choose_region(density: DensityMap, name: str, box: Box | None = None) -> Region:
    """Return the region called `name` of a map; ``"auto"`` is the asymmetric unit of a crystal, else the box.

    Parameters
    ----------
    box
        Lowest x, y, z and highest x, y, z (Å) of a box to work on instead; it may reach across cell edges of a crystal.

    Raises
    ------
    OptionError
        If there is no such region or the map does not cover it.
    """
    check_choice("region", name, REGIONS)
    if box is not None:
        return _part(density, box)
    if name == "auto":
        name = "asu" if density.periodic else "box"
    if name == "box":
        return _box(density)
    if not density.periodic:
        raise OptionError(f"The map covers only a box, not the whole crystal; the region {name!r} needs all of it.")
    spacegroup = density.spacegroup if name == "asu" else gemmi.SpaceGroup("P 1")
    return _dirichlet_domain(name, Symmetry(density.cell, spacegroup))


def _box(density: DensityMap) -> Region:
    symmetry = Symmetry(density.cell, density.spacegroup, periodic=False)
    last = np.array(density.values.shape) - (0 if density.periodic else 1)
    corners = density.grid.positions(np.array(list(itertools.product(*((0, n) for n in last)))))
    return _box_between(symmetry, corners.min(0), corners.max(0))


def _box_between(symmetry: Symmetry, low: NDArray[np.float64], high: NDArray[np.float64]) -> Region:
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    return Region("box", symmetry, corners, np.zeros((0, 3)))


def _part(density: DensityMap, box: Box) -> Region:
    low, high = np.array(box[:3]), np.array(box[3:])
    symmetry = Symmetry(density.cell, density.spacegroup, periodic=False)
    if not density.periodic:
        whole = _box(density)
        low, high = np.maximum(low, whole.low), np.minimum(high, whole.high)
        if not (low < high).all():
            raise OptionError("The box lies outside the map.")
    return _box_between(symmetry, low, high)


class _Lattice:
    """The translations of a crystal in its shortest basis, in which few cells around a point hold its neighbours."""

    def __init__(self, cell: gemmi.UnitCell) -> None:
        reduction = gemmi.GruberVector(cell, "P", True)
        reduction.niggli_reduce()
        change = reduction.change_of_basis
        #: Columns are the basis, in Å.
        self.basis = np.array(cell.orth.mat) @ np.array(change.rot) / change.DEN
        steps = np.array(list(itertools.product(range(-2, 3), repeat=3)), float)
        self.around = steps @ self.basis.T
        self.next = self.around[(np.abs(steps).max(1) == 1)]

    def wrapped(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return vectors, shape (..., 3) in Å, moved by lattice translations into the reduced cell around zero."""
        steps = np.round(vectors @ np.linalg.inv(self.basis).T)
        return np.asarray(vectors - steps @ self.basis.T)


def _to_copies(symmetry: Symmetry, lattice: _Lattice, fractional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors (n, operations, 3) in Å from points (n, 3) to a copy by each operation, wrapped."""
    moved = np.einsum("oij,nj->noi", symmetry.rotations, fractional) + symmetry.translations
    return lattice.wrapped((moved - fractional[:, None]) @ symmetry.orthogonalisation.T)


def _room(symmetry: Symmetry, lattice: _Lattice, fractional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each point (n, 3) the distance in Å to its nearest copy."""
    distances = np.full(len(fractional), np.linalg.norm(lattice.next, axis=1).min())
    vectors = _to_copies(symmetry, lattice, fractional)[:, 1:]
    for translation in np.concatenate([np.zeros((1, 3)), lattice.next]):
        nearest = np.linalg.norm(vectors + translation, axis=2).min(1, initial=np.inf)
        distances = np.minimum(distances, nearest)
    return distances


def _neighbours(symmetry: Symmetry, lattice: _Lattice, fractional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a point (3,) in Å, first, and all its copies that can bound its Dirichlet domain, nearest first.

    The domain lies in that of the lattice alone, so a copy bounds it only if half the way to the copy lies there, too.
    """
    vectors = _to_copies(symmetry, lattice, fractional[None])[0]
    copies = (vectors[:, None] + lattice.around).reshape(-1, 3)
    copies = copies[(copies @ lattice.next.T <= (lattice.next**2).sum(1) + _TOLERANCE).all(1)]
    nearest_first = np.argsort(np.linalg.norm(copies, axis=1), kind="stable")
    return symmetry.to_orthogonal(fractional) + copies[nearest_first]


def _dirichlet_domain(name: str, symmetry: Symmetry) -> Region:
    # A centre far from its copies makes a compact domain; a general position is one with all copies apart.
    lattice = _Lattice(symmetry.cell)
    candidates = np.random.default_rng(0).random((_CANDIDATES if len(symmetry) > 1 else 1, 3))
    room = _room(symmetry, lattice, candidates)
    # The first of those that are as good as the best: rounding of the cell must not choose among equals.
    centres = _neighbours(symmetry, lattice, candidates[int(np.argmax(room > room.max() * (1 - _EQUAL)))])
    voronoi = Voronoi(centres)
    corners = voronoi.vertices[[v for v in voronoi.regions[voronoi.point_region[0]] if v >= 0]]
    return Region(name, symmetry, corners, centres)
