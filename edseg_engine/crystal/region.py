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
_NEIGHBOURS = 500


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


def _copies(symmetry: Symmetry, fractional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a point (3,) in Å, first, and its copies in the cells around it, nearest first."""
    reach = range(-2, 3) if len(symmetry) <= 8 else range(-1, 2)
    lattice = np.array(list(itertools.product(reach, repeat=3)), float)
    moved = fractional @ symmetry.rotations.transpose(0, 2, 1) + symmetry.translations
    moved += np.round(fractional - moved)
    xyz = symmetry.to_orthogonal((moved[:, None] + lattice).reshape(-1, 3))
    distance = np.linalg.norm(xyz - symmetry.to_orthogonal(fractional), axis=1)
    return xyz[np.argsort(distance, kind="stable")[:_NEIGHBOURS]]


def _dirichlet_domain(name: str, symmetry: Symmetry) -> Region:
    # A centre far from its copies makes a compact domain; a general position is one with all copies apart.
    candidates = np.random.default_rng(0).random((_CANDIDATES if len(symmetry) > 1 else 1, 3))
    distances = [np.linalg.norm(np.diff(_copies(symmetry, c)[:2], axis=0)) for c in candidates]
    centres = _copies(symmetry, candidates[int(np.argmax(distances))])
    voronoi = Voronoi(centres)
    corners = voronoi.vertices[[v for v in voronoi.regions[voronoi.point_region[0]] if v >= 0]]
    return Region(name, symmetry, corners, centres)
