"""Copies of a molecule in a crystal that its symmetry does not make (non-crystallographic symmetry, NCS).

The copies are found by the residues themselves, without a sequence: residues whose surroundings are alike tell a
superposition, which holds if what it brings together is of the same class far more often than by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.symmetry import Images, Symmetry
from edseg_engine.inference.frames import CA, axes_of, with_frames
from edseg_engine.residues.composition import SHARES

#: What surrounds a residue is its neighbours within so many Å, sorted into so many cells of so many Å along each axis.
_SURROUNDINGS, _CELLS, _CELL = 12.0, 6, 4.0
#: At most so many residues are compared with all others, and each superposed with so many that are most alike.
_COMPARED, _MOST_ALIKE = 1000, 4
#: At most so many superpositions are tried, or as many as there are residues.
_TRIES = 300
#: A superposition grows: residues so far (Å) from the one it began with, so far (Å) from their partner, and with axes
#: whose cosines are at least so large, make the next.
_STEPS = ((10.0, 4.0, 0.3), (15.0, 3.0, 0.5), (25.0, 2.5, 0.5), (40.0, 2.0, 0.5), (40.0, 2.0, 0.5))
#: So far from the residues are their symmetry copies looked at.
_REACH = _STEPS[-1][0]
#: Fewest pairs to superpose, and to be a copy.
_FEWEST, _FEWEST_OF_COPY = 6, 10
#: Of the neighbours (Å) of a pair this share must be paired too.
_NEIGHBOURS, _SUPPORT = 8.0, 0.5
#: Share of each residue's class that is guesswork: nothing is believed more than that.
GUESSED = 0.1
#: Copies must be so much more likely (nats) than a chance superposition, with this estimated share of their residues
#: the same, and with at least this share of the mean evidence of those that have most in all.
_EVIDENCE, _SAME, _AS_SURE = 20.0, 0.85, 0.65
#: Copies whose beliefs differ by less than this share of what they leave open have the same density, and no errors of
#: their own: symmetry that was imposed on the map, or is not that of the region read. Others differ by 0.07 at least.
_SAME_DENSITY = 0.05
#: No pair is believed more to be one residue than this.
_SUREST = 0.95


@dataclass(frozen=True, eq=False)
class Superposition:
    """What brings residues of one copy to lie on those of another.

    Attributes
    ----------
    rotation, shift
        shapes (3, 3) and (3,): from one copy to the other, in Å.
    places, goals
        shape (m, 3): CA (Å) of residues of the one, and of those of the other that they come to lie on; either may be a
        symmetry copy of the residue that was given.
    partners
        shape (m, 2): indices of both, none twice.
    pairs
        shape (n, 2): the same, the smaller index first; also those of places that a `part` leaves out.
    probability
        shape (n,): that a pair is the same residue.
    evidence, mean
        For copies, against chance, in nats: in all, and of each pair in the mean.
    differ
        Whether their densities have errors of their own.
    """

    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    places: NDArray[np.float64]
    goals: NDArray[np.float64]
    partners: NDArray[np.intp]
    pairs: NDArray[np.intp]
    probability: NDArray[np.float64]
    evidence: float
    mean: float
    differ: bool

    def moved(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions (n, 3) of the one copy (Å) in the other."""
        return positions @ self.rotation.T + self.shift

    @property
    def inverse(self) -> Superposition:
        """The way back."""
        back = self.rotation.T
        return replace(
            self,
            rotation=back,
            shift=-back @ self.shift,
            places=self.goals,
            goals=self.places,
            partners=self.partners[:, ::-1],
        )

    def part(self, chosen: NDArray[np.bool_]) -> Superposition:
        """Return the same of some of the places (m,)."""
        return replace(self, places=self.places[chosen], goals=self.goals[chosen], partners=self.partners[chosen])


def find_superpositions(
    atoms: NDArray[np.float64], probabilities: NDArray[np.float64], symmetry: Symmetry
) -> list[Superposition]:
    """Return the superpositions of copies of a molecule that the evidence is for, the surest first.

    Parameters
    ----------
    atoms
        shape (k, n, 3): positions in Å, the first three N, CA and C; residues that lack one (NaN) have no copies.
    probabilities
        shape (k, 17): of their classes.
    symmetry
        Of the crystal. What it relates is one residue, not a copy.
    """
    known = with_frames(atoms)
    if len(known) < 2 * _FEWEST_OF_COPY:
        return []
    found = _superpositions(_Crystal(atoms[known], probabilities[known], symmetry))
    return [
        replace(each, partners=known[each.partners], pairs=known[each.pairs])
        for each in sorted(found, key=lambda each: -each.evidence)
    ]


def surest(superpositions: Iterable[Superposition]) -> list[Superposition]:
    """Return those about as sure, a pair, as the first."""
    found = list(superpositions)
    return [each for each in found if each.mean >= _AS_SURE * found[0].mean]


@dataclass(frozen=True, eq=False)
class _Crystal:
    """Residues whose main chains are known, and their symmetry copies around them."""

    atoms: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    symmetry: Symmetry

    @cached_property
    def ca(self) -> NDArray[np.float64]:
        return self.atoms[:, CA]

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        return axes_of(self.atoms)

    @cached_property
    def prior(self) -> NDArray[np.float64]:
        return frequencies(self.probabilities)

    @cached_property
    def images(self) -> Images:
        return self.symmetry.images_in_box(self.ca, self.ca.min(0) - _REACH, self.ca.max(0) + _REACH)

    @cached_property
    def axes_of_images(self) -> NDArray[np.float64]:
        return np.asarray(self.symmetry.turns[self.images.operation] @ self.axes[self.images.index])

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.images.positions)

    def matches(
        self,
        rotation: NDArray[np.float64],
        shift: NDArray[np.float64],
        centre: NDArray[np.float64],
        step: tuple[float, float, float],
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which images around `centre` come to lie on which others, in one of `_STEPS`; each at most once."""
        radius, distance, cosine = step
        here = np.array(self.tree.query_ball_point(centre, radius), np.intp)
        away, there = self.tree.query(self.images.positions[here] @ rotation.T + shift, distance_upper_bound=distance)
        order = np.argsort(away, kind="stable")[: np.isfinite(away).sum()]
        nearest = order[np.unique(there[order], return_index=True)[1]]
        here, there = here[nearest], there[nearest]
        cosines = np.einsum("kxa,kxa->ka", rotation @ self.axes_of_images[here], self.axes_of_images[there])
        alike = (cosines[:, :2] > cosine).all(1)
        return here[alike], there[alike]


def _superpositions(crystal: _Crystal) -> Iterator[Superposition]:
    """Yield the superpositions that the evidence is for, none twice from the same pair."""
    seen: set[tuple[int, int]] = set()
    tries = max(_TRIES, len(crystal.ca))
    for one, other in _alike(crystal):
        pair = (min(one, other), max(one, other))
        if pair in seen:
            continue
        if not tries:
            return
        tries -= 1
        found = _superpose(crystal, one, other)
        if found is not None:
            seen.update(map(tuple, found.pairs.tolist()))
            if found.evidence >= _EVIDENCE:
                yield found


def _alike(crystal: _Crystal) -> list[tuple[int, int]]:
    """Return pairs of residues whose surroundings are alike, the most alike first."""
    k = len(crystal.ca)
    chosen = np.unique(np.linspace(0, k - 1, min(k, _COMPARED)).astype(np.intp))
    ours = _surroundings(crystal, chosen)
    best, partner = np.zeros((len(chosen), 0), np.float32), np.zeros((len(chosen), 0), np.intp)
    total = np.zeros(len(chosen))
    for block in np.array_split(np.arange(k), -(-k // _COMPARED)):
        alike = ours @ (ours if len(chosen) == k else _surroundings(crystal, block)).T
        alike[chosen[:, None] == block] = 0.0
        total += alike.sum(1)
        best, partner = np.hstack([best, alike]), np.hstack([partner, np.broadcast_to(block, alike.shape)])
        most = np.argpartition(-best, _MOST_ALIKE - 1, axis=1)[:, :_MOST_ALIKE]
        best, partner = np.take_along_axis(best, most, 1), np.take_along_axis(partner, most, 1)
    beyond_usual = best - total[:, None] / k  # helices are like many
    rows, columns = np.unravel_index(np.argsort(-beyond_usual, axis=None, kind="stable"), best.shape)
    return list(zip(chosen[rows].tolist(), partner[rows, columns].tolist(), strict=True))


def _surroundings(crystal: _Crystal, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return what surrounds the chosen residues in their frames: how much of each class is in each cell, as unit
    vectors (n, cells * 17)."""
    images = crystal.images
    pairs = cKDTree(crystal.ca[chosen]).sparse_distance_matrix(crystal.tree, _SURROUNDINGS, output_type="ndarray")
    residue, image = pairs["i"].astype(np.intp), pairs["j"]
    away = images.positions[image] - crystal.ca[chosen[residue]]
    place = np.einsum("nx,nxa->na", away, crystal.axes[chosen[residue]]) / _CELL + (_CELLS - 1) / 2
    lowest = np.floor(place).astype(np.intp)
    rows, columns, shares = [], [], []
    for corner in np.ndindex(2, 2, 2):  # shared between the nearest cells, as far as they are near
        cell = lowest + corner
        inside = ((cell >= 0) & (cell < _CELLS)).all(1)
        rows.append((residue * _CELLS**3 + np.ravel_multi_index(cell.T, (_CELLS,) * 3, mode="clip"))[inside])
        columns.append(images.index[image][inside])
        shares.append((1 - np.abs(place - cell)).prod(1)[inside])
    shape = (len(chosen) * _CELLS**3, len(crystal.ca))
    entries = (np.concatenate(rows), np.concatenate(columns))
    there = csr_array((np.concatenate(shares).astype(np.float32), entries), shape=shape)
    classes = (crystal.probabilities / np.sqrt(crystal.prior)).astype(np.float32)
    vectors = np.asarray(there @ classes).reshape(len(chosen), -1)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _superpose(crystal: _Crystal, one: int, other: int) -> Superposition | None:
    """Return what the superposition of two residues, and then of what surrounds them, brings together."""
    rotation = crystal.axes[other] @ crystal.axes[one].T
    shift = crystal.ca[other] - rotation @ crystal.ca[one]
    positions = crystal.images.positions
    for step in _STEPS:
        here, there = crystal.matches(rotation, shift, crystal.ca[one], step)
        if len(here) < _FEWEST:
            return None
        centre, goal = positions[here].mean(0), positions[there].mean(0)
        rotation = Rotation.align_vectors(positions[there] - goal, positions[here] - centre)[0].as_matrix()
        shift = goal - rotation @ centre
    here, there = crystal.matches(rotation, shift, crystal.ca[one], _STEPS[-1])
    if len(here) < _FEWEST_OF_COPY:
        return None
    both = np.stack([here, there], 1)[_supported(crystal, here)]
    partners, first = np.unique(crystal.images.index[both], axis=0, return_index=True)
    others = partners[:, 0] != partners[:, 1]
    partners, (places, goals) = partners[others], positions[both[first[others]].T]
    pairs = np.unique(np.sort(partners, axis=1), axis=0)
    if len(pairs) < _FEWEST_OF_COPY:
        return None
    return Superposition(rotation, shift, places, goals, partners, pairs, *_judged(crystal, pairs))


def _supported(crystal: _Crystal, here: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which of the images that have a partner (n,) have neighbours that have one."""
    places = crystal.images.positions[here]
    paired = cKDTree(places).query_ball_point(places, _NEIGHBOURS, return_length=True)
    everyone = crystal.tree.query_ball_point(places, _NEIGHBOURS, return_length=True)
    return np.asarray(paired - 1 >= _SUPPORT * (everyone - 1))


def _judged(crystal: _Crystal, pairs: NDArray[np.intp]) -> tuple[NDArray[np.float64], float, float, bool]:
    """Weigh how many of the pairs are of one class, by expectation-maximisation of the share that is the same.

    Returns the last four attributes of `Superposition`.
    """
    one, other = (crystal.probabilities[residues] for residues in pairs.T)
    left_open = 1 - (one.max(1) * other.max(1)).mean()
    differ = 1 - np.sqrt(one * other).sum(1).mean() >= _SAME_DENSITY * left_open
    believed, others = ((1 - GUESSED) * each + GUESSED * crystal.prior for each in (one, other))
    odds = (believed * others / crystal.prior).sum(1)
    same = 0.5
    for _ in range(30):
        same = float((same * odds / (same * odds + 1 - same)).mean())
    evidence = float(np.log(same * odds + 1 - same).sum()) if same >= _SAME else 0.0
    same = min(same, _SUREST)
    return same * odds / (same * odds + 1 - same), evidence, float(np.log(odds).mean()), bool(differ)


def frequencies(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how frequent the classes are (17,): half as in this map, half as in proteins."""
    return 0.5 * probabilities.mean(0) + 0.5 * np.array(SHARES) if len(probabilities) else np.array(SHARES)
