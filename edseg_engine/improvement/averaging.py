"""The mean density of copies of a molecule, each of which has errors of its own (Rossmann & Blow, 1963)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter
from scipy.optimize import least_squares
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.residues.superpositions import Superposition, surest

#: Copies are averaged with so much evidence a pair (nats), or chance would confirm itself: what was averaged is alike.
_SURE = 0.7
#: Share of the mean over its copies in the density of a residue.
_OF_COPIES = 0.5
#: So near (Å) to its CA is the density of a residue.
_RADIUS = 5.0
#: Residues whose densities correlate less than this are not averaged, and from the second on in full.
_UNLIKE, _ALIKE = 0.3, 0.6
#: A superposition tells of other residues than those before it if more than this share of its pairs is new.
_NEW = 0.1
#: A residue is on itself again within so many moves, and so near (Å) to where it was.
_MOVES, _AGAIN = 6, 5.0
#: Superpositions are refined on so many points within so many Å, along each axis, of each CA ...
_SAMPLES, _SAMPLED = 20, 4.0
#: ... by so many Å along and around each axis at most, turns counted at this distance (Å), with gradients over so many.
_FARTHEST, _LEVER, _STEP = 2.0, 15.0, 0.2


def averaged_over_copies(density: DensityMap, superpositions: Sequence[Superposition]) -> DensityMap:
    """Return a map in which residues that look like their copies have half of the mean of these.

    The rest stays, farther than 5 Å from the CA of such residues. Whether the beliefs of copies differ does not matter
    here: those of copies that were averaged before hardly do.

    Parameters
    ----------
    density
        The map of a whole cell, on a grid that has the symmetry of its space group.
    superpositions
        As `edseg_engine.residues.superpositions.find_superpositions` finds them. Those that carry residues on and on
        are of repeats within a molecule, which only look alike; nothing is averaged if the surest is such.
    """
    symmetry = Symmetry(density.cell, density.spacegroup)
    chosen = _distinct([each for each in surest(superpositions) if each.mean >= _SURE])
    closed = [each for each in chosen if not _endless(each, symmetry)]
    if not closed or closed[0] is not chosen[0]:
        return density
    grid = _Grid(density)
    sums, weights = np.zeros(density.values.shape, np.float32), np.zeros(density.values.shape, np.float32)
    for each in _each_once(_refined(grid, each) for each in closed):
        points, there, weight = _seen_from(grid, each)
        np.add.at(sums, points, weight * there)
        np.add.at(weights, points, weight)
    if not weights.any():
        return density
    sums, weights = (grid.summed_over_symmetry(values) for values in (sums, weights))
    change = _OF_COPIES * (sums - weights * density.values) / np.maximum(weights, 1)
    return replace(density, values=(density.values + change).astype(np.float32), averaged=True)


@dataclass(frozen=True, eq=False)
class _Grid:
    """The density of a whole cell at positions in Å."""

    density: DensityMap

    @cached_property
    def from_cartesian(self) -> NDArray[np.float64]:
        """Shape (3, 3): positions in grid points, of those in Å."""
        shape = np.array(self.density.values.shape)
        return np.array(self.density.cell.frac.mat.tolist()) * shape[:, None]

    @cached_property
    def _splines(self) -> NDArray[np.float32]:
        return np.asarray(spline_filter(self.density.values, output=np.float32, mode="grid-wrap"))

    def at(self, positions: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the density (n,) at positions (n, 3)."""
        points = self.from_cartesian @ positions.T
        return np.asarray(map_coordinates(self._splines, points, mode="grid-wrap", prefilter=False))

    def near(self, places: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
        """Return the points (n, 3) of the grid near `places` (m, 3), their positions, and which place is nearest."""
        margin = _RADIUS * np.linalg.norm(self.from_cartesian, axis=1)
        centres = places @ self.from_cartesian.T
        low, high = np.floor(centres.min(0) - margin).astype(int), np.ceil(centres.max(0) + margin).astype(int)
        plane = np.stack(np.meshgrid(0, *map(np.arange, low[1:], high[1:] + 1), indexing="ij"), -1).reshape(-1, 3)
        tree, to_cartesian, parts = cKDTree(places), np.linalg.inv(self.from_cartesian).T, []
        for u in range(low[0], high[0] + 1):
            points = plane + (u, 0, 0)
            positions = points @ to_cartesian
            away, nearest = tree.query(positions, distance_upper_bound=_RADIUS)
            inside = np.isfinite(away)
            parts.append((points[inside], positions[inside], nearest[inside]))
        points_of, positions_of, nearest_of = zip(*parts, strict=True)
        return np.concatenate(points_of), np.concatenate(positions_of), np.concatenate(nearest_of)

    def summed_over_symmetry(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values summed over the points that the symmetry of the crystal makes one."""
        grid = gemmi.FloatGrid(values, self.density.cell, self.density.spacegroup)
        grid.symmetrize_sum()
        return np.ascontiguousarray(grid.array)


def _distinct(superpositions: Sequence[Superposition]) -> list[Superposition]:
    """Return the superpositions that bring together what those before them do not."""
    told: set[tuple[int, int]] = set()
    chosen = []
    for each in superpositions:
        pairs = set(map(tuple, each.pairs.tolist()))
        if len(pairs - told) > _NEW * len(pairs):
            chosen.append(each)
            told |= pairs
    return chosen


def _endless(superposition: Superposition, symmetry: Symmetry) -> bool:
    """Whether many residues come to lie on residues that are carried on, and never to where they were."""
    onward = np.isin(superposition.partners[:, 1], superposition.partners[:, 0])
    places = superposition.places[onward]
    moved, nearest = superposition.moved(places), np.full(len(places), np.inf)
    for _ in range(_MOVES - 1):
        moved = superposition.moved(moved)
        copies = symmetry.apply(moved, *symmetry.nearest_copies(moved, places))
        nearest = np.minimum(nearest, np.linalg.norm(copies - places, axis=1))
    return bool(onward.mean() > 1 / 3 and (nearest > _AGAIN).mean() > 0.5)


def _each_once(superpositions: Iterator[Superposition]) -> Iterator[Superposition]:
    """Yield superpositions and their inverses, each without the residues that were on the same partners before."""
    told: set[tuple[int, int]] = set()
    for each in superpositions:
        for way in (each, each.inverse):
            partners = list(map(tuple, way.partners.tolist()))
            new = np.array([pair not in told for pair in partners])
            told.update(partners)
            if new.any():
                yield way.part(new)


def _refined(grid: _Grid, superposition: Superposition) -> Superposition:
    """Return a superposition turned and moved until the densities of both copies agree best."""
    offsets = np.random.default_rng(0).uniform(-_SAMPLED, _SAMPLED, (len(superposition.places), _SAMPLES, 3))
    points = (superposition.places[:, None] + offsets).reshape(-1, 3)
    centre = superposition.places.mean(0)
    here = _standardised(grid.at(points))

    def after(change: NDArray[np.float64]) -> Superposition:
        rotation = Rotation.from_rotvec(change[:3] / _LEVER).as_matrix() @ superposition.rotation
        shift = superposition.moved(centre) + change[3:] - rotation @ centre
        return replace(superposition, rotation=rotation, shift=shift)

    def differences(change: NDArray[np.float64]) -> NDArray[np.float64]:
        return _standardised(grid.at(after(change).moved(points))) - here

    def gradients(change: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = _STEP * np.eye(6)
        return np.stack([differences(change + step) - differences(change - step) for step in steps], 1) / (2 * _STEP)

    best = least_squares(differences, np.zeros(6), gradients, bounds=(-_FARTHEST, _FARTHEST), max_nfev=15)
    return after(best.x)


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean(dtype=np.float64)) / max(values.std(dtype=np.float64), 1e-9))


def _seen_from(
    grid: _Grid, superposition: Superposition
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.float32], NDArray[np.float32]]:
    """Return the points of the cell near residues of one copy, the density where they come to lie in the other, and
    how far it is that of the same residue: by the correlation of both densities around each."""
    points, positions, residue = grid.near(superposition.places)
    points = points % np.array(grid.density.values.shape)
    inside = tuple(points.T)
    here, there = grid.density.values[inside], grid.at(superposition.moved(positions))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean (m,) over the points of each residue."""
        n = np.bincount(residue, minlength=len(superposition.places))
        return np.bincount(residue, values, len(superposition.places)) / np.maximum(n, 1)

    one, other = (values - mean(values)[residue] for values in (here.astype(np.float64), there.astype(np.float64)))
    correlation = mean(one * other) / np.sqrt(np.maximum(mean(one**2) * mean(other**2), 1e-12))
    weight = np.clip((correlation - _UNLIKE) / (_ALIKE - _UNLIKE), 0, 1).astype(np.float32)
    return inside, there, weight[residue]
