"""Residues as groups of votes: K-Means over the embedding E (thesis 6.4.4), seeded from the peaks of the vote density.

All of this happens in the crystal: a residue on the border of the region gets part of its votes from one side and
part from a symmetry copy on the other. A vote therefore belongs to the nearest copy of any seed, and pulls the seed
itself by the inverse operation, so each residue is found once, wherever its voxels lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Images, Symmetry

#: Vote density: grid spacing and Gaussian width in Å, and the least distance of two residues' centroids.
GRID_SPACING, GAUSSIAN, EXCLUSION = 0.6, 0.7, 2.4
#: A vote farther (Å) from every seed belongs to none; a vote farther than the second value does not move its seed.
REACH, PULL = 4.0, 2.5
#: Peaks below this fraction of the typical height are noise when K is to be found.
LEAST_PEAK = 0.20
#: Votes of voxels whose background probability is higher are not counted ...
MOST_BACKGROUND = 0.7
#: ... unless the network is hardly surer of any voxel, as in poor maps: a vote counts if its weight reaches this share
#: of the weight that one voxel in twenty has.
RELATIVE_WEIGHT = 0.45

#: Of a map in which so many more residues stand out than were asked for, as a share of these, only a choice was taken.
CHOICE = 0.6
#: Of two centroids nearer than `EXCLUSION`, one with less than this fraction of the other's votes is a fragment of it.
FRAGMENT = 0.5

#: Below this weight votes are noise, unless it is known how many residues there are.
_NOISE = 0.1
#: Where K is given and not reached, ever weaker votes are counted, down to this weight.
_LEAST_WEIGHT = 0.02

_ITERATIONS = 12
_REPAIRS = 3
_FEWEST_VOTES = 3


@dataclass(frozen=True)
class Instances:
    """The residues found.

    Attributes
    ----------
    centroids
        shape (k, 3): positions in Å, strongest vote peak first.
    members
        shape (m,): instance of each vote; -1 for none.
    votes
        shape (k,): summed weight of the votes of each instance.
    spread
        shape (k,): root mean square distance (Å) of the votes from the centroid.
    left_out
        How many more stand out as those do that are taken where K is not known.
    """

    centroids: NDArray[np.float64]
    members: NDArray[np.intp] = field(repr=False)
    votes: NDArray[np.float64] = field(repr=False)
    spread: NDArray[np.float64] = field(repr=False)
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def is_choice(self) -> bool:
        """Whether far fewer residues were asked for than the map holds."""
        return self.left_out > CHOICE * len(self)


def vote_peaks(
    votes: NDArray[np.floating], weights: NDArray[np.floating], symmetry: Symmetry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions (k, 3) in Å and heights (k,) of the peaks of the vote density, highest first.

    Of symmetry-equivalent peaks one is returned; no two peaks, copies included, are nearer than `EXCLUSION`.
    """
    if not len(votes):
        return np.zeros((0, 3)), np.zeros(0)
    margin = 4 * GAUSSIAN
    low, high = votes.min(0) - margin, votes.max(0) + margin
    images = symmetry.images_in_box(votes.astype(np.float64), low, high)
    shape = tuple(int(n) for n in np.ceil((high - low) / GRID_SPACING).astype(int) + 1)
    cell = np.round((images.positions - low) / GRID_SPACING).astype(np.int32)
    flat = np.ravel_multi_index((cell[:, 0], cell[:, 1], cell[:, 2]), shape)
    density = np.bincount(flat, weights[images.index], minlength=int(np.prod(shape))).astype(np.float32).reshape(shape)
    density = ndimage.gaussian_filter(density, GAUSSIAN / GRID_SPACING, mode="constant", truncate=3.0)
    is_peak = (density == ndimage.maximum_filter(density, size=3, mode="constant")) & (density > density.max() * 1e-3)
    index = np.argwhere(is_peak)
    heights = density[is_peak].astype(np.float64)
    order = np.argsort(-heights, kind="stable")
    positions, heights = low + index[order] * GRID_SPACING, heights[order]
    chosen = _apart(positions, symmetry, low, high)
    return positions[chosen], heights[chosen]


def _apart(
    positions: NDArray[np.float64], symmetry: Symmetry, low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Choose greedily, in the given order, positions at least `EXCLUSION` from the chosen ones and their copies."""
    images = symmetry.images_in_box(positions, low - EXCLUSION, high + EXCLUSION)
    pairs = cKDTree(images.positions).query_ball_point(positions, EXCLUSION)
    alive = np.ones(len(positions), bool)
    chosen = []
    for i, near in enumerate(pairs):
        if alive[i]:
            chosen.append(i)
            alive[images.index[near]] = False
    return np.array(chosen, np.intp)


def find_instances(
    votes: NDArray[np.floating],
    weights: NDArray[np.floating],
    symmetry: Symmetry,
    n_residues: int | None = None,
) -> Instances:
    """Group votes into residues.

    Parameters
    ----------
    votes
        shape (m, 3): E = I(X) + position of each voxel, in Å.
    weights
        shape (m,): how much each vote counts.
    symmetry
        Copies of a vote that are the same vote.
    n_residues
        K where it is known; None takes every peak that stands out.
    """
    least = least_weight(weights)
    while True:
        instances = _group(votes, weights, weights > least, symmetry, n_residues)
        if n_residues is None or len(instances) >= n_residues or least < _LEAST_WEIGHT:
            return instances
        # What is missing is where the network is unsure.
        least /= 2


def _group(
    votes: NDArray[np.floating],
    weights: NDArray[np.floating],
    usable: NDArray[np.bool_],
    symmetry: Symmetry,
    n_residues: int | None,
) -> Instances:
    """Group the votes that are `usable` (m,), as `find_instances` does."""
    some, their_weights = votes[usable].astype(np.float64), weights[usable].astype(np.float64)
    seeds, heights = vote_peaks(some, their_weights, symmetry)
    standing = int((heights > LEAST_PEAK * typical_height(heights)).sum())
    if n_residues is None:
        seeds, spare = seeds[:standing], seeds[:0]
    else:
        seeds, spare = seeds[:n_residues], seeds[n_residues:]
        if len(seeds) < n_residues and len(some):
            seeds = _split_crowded(some, their_weights, seeds, n_residues, symmetry)
    for _ in range(_REPAIRS):
        centroids, members, distance = _k_means(some, their_weights, seeds, symmetry)
        whole = _without_fragments(centroids, members, their_weights, symmetry)
        if len(whole) == len(centroids):
            break
        # The next peaks take the places that fragments leave.
        vacant = len(centroids) - len(whole)
        seeds, spare = np.concatenate([centroids[whole], spare[:vacant]]), spare[vacant:]
    k = len(centroids)
    total, spread = _strength(members, their_weights, distance, k)
    counts = np.bincount(members[members >= 0], minlength=k)
    keep = np.flatnonzero(counts >= (_FEWEST_VOTES if n_residues is None else 1))
    renumber = np.full(k + 1, -1, np.intp)
    renumber[keep] = np.arange(len(keep))
    all_members = np.full(len(votes), -1, np.intp)
    all_members[usable] = renumber[members]
    left_out = 0 if n_residues is None else max(0, standing - n_residues)
    return Instances(centroids[keep], all_members, total[keep], spread[keep], left_out)


def instances_of_seeds(
    votes: NDArray[np.floating], weights: NDArray[np.floating], seeds: NDArray[np.float64], symmetry: Symmetry
) -> Instances:
    """Return the instances whose centroids are known to be the `seeds` (k, 3) in Å, in their order.

    Parameters
    ----------
    votes, weights, symmetry
        See `find_instances`.
    """
    usable = weights > least_weight(weights)
    members = np.full(len(votes), -1, np.intp)
    distance = np.full(len(votes), np.inf)
    if len(seeds) and usable.any():
        members[usable], distance[usable], _, _ = _assign(votes[usable].astype(np.float64), seeds, symmetry)
    return Instances(seeds, members, *_strength(members, weights, distance, len(seeds)))


def _strength(
    members: NDArray[np.intp], weights: NDArray[np.floating], distance: NDArray[np.float64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the summed weight (k,) of the votes of each instance and their spread (k,) in Å."""
    inside = members >= 0
    total = np.bincount(members[inside], weights[inside], minlength=k).astype(np.float64)
    squares = np.bincount(members[inside], weights[inside] * distance[inside] ** 2, minlength=k)
    return total, np.sqrt(squares / np.maximum(total, 1e-9))


def least_weight(weights: NDArray[np.floating]) -> float:
    """Return the weight that a vote must exceed to be counted, of all `weights` (m,)."""
    least = 1 - MOST_BACKGROUND
    if not len(weights):
        return least
    return min(least, max(_NOISE, RELATIVE_WEIGHT * float(np.quantile(weights, 0.95))))


def _without_fragments(
    centroids: NDArray[np.float64], members: NDArray[np.intp], weights: NDArray[np.float64], symmetry: Symmetry
) -> NDArray[np.intp]:
    """Return the indices of the centroids that are not fragments of a neighbour, see `FRAGMENT`."""
    k = len(centroids)
    if not k:
        return np.zeros(0, np.intp)
    votes = np.bincount(members[members >= 0], weights[members >= 0], minlength=k)
    images = symmetry.images_in_box(centroids, centroids.min(0) - EXCLUSION, centroids.max(0) + EXCLUSION)
    near = cKDTree(images.positions).query_ball_point(centroids, EXCLUSION)
    strongest = np.array([votes[images.index[copies]].max(initial=0.0) for copies in near])
    return np.flatnonzero(votes >= FRAGMENT * strongest)


def typical_height(heights: NDArray[np.float64]) -> float:
    """Return the height (of `heights`, highest first) at which half of their sum is reached: many low peaks of noise
    hardly move it."""
    if not len(heights):
        return 0.0
    weighted = np.cumsum(heights) / heights.sum()
    return float(heights[np.searchsorted(weighted, 0.5)])


def _assign(
    votes: NDArray[np.float64], seeds: NDArray[np.float64], symmetry: Symmetry
) -> tuple[NDArray[np.intp], NDArray[np.float64], Images, NDArray[np.intp]]:
    """Return each vote's seed (-1 if out of reach), its distance, the copies of the seeds and the copy chosen."""
    images = symmetry.images_in_box(seeds, votes.min(0) - REACH, votes.max(0) + REACH)
    if not len(images):
        nothing = np.full(len(votes), -1, np.intp)
        return nothing, np.full(len(votes), np.inf), images, nothing
    distance, copy = cKDTree(images.positions).query(votes, distance_upper_bound=REACH)
    members = np.where(np.isfinite(distance), images.index[np.minimum(copy, len(images) - 1)], -1)
    return members, distance, images, copy


def _k_means(
    votes: NDArray[np.float64], weights: NDArray[np.float64], seeds: NDArray[np.float64], symmetry: Symmetry
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Return centroids (k, 3), the members (m,) and their distances (m,) after K-Means in the crystal."""
    seeds = seeds.astype(np.float64).copy()
    if not len(seeds) or not len(votes):
        return seeds, np.full(len(votes), -1, np.intp), np.full(len(votes), np.inf)
    for _ in range(_ITERATIONS):
        members, distance, images, copy = _assign(votes, seeds, symmetry)
        close = np.flatnonzero(distance < PULL)
        copies = copy[close]
        home = symmetry.undo(votes[close], images.operation[copies], images.shift[copies])
        owner, w = members[close], weights[close]
        total = np.bincount(owner, w, minlength=len(seeds))
        mean = np.stack([np.bincount(owner, w * home[:, axis], minlength=len(seeds)) for axis in range(3)], 1)
        moved = np.where(total[:, None] > 0, mean / np.maximum(total, 1e-12)[:, None], seeds)
        step = np.abs(moved - seeds).max()
        seeds = moved
        if step < 0.01:
            break
    members, distance, _, _ = _assign(votes, seeds, symmetry)
    return seeds, members, distance


def _split_crowded(
    votes: NDArray[np.float64],
    weights: NDArray[np.float64],
    seeds: NDArray[np.float64],
    n_residues: int,
    symmetry: Symmetry,
) -> NDArray[np.float64]:
    """Add seeds where votes lie farthest from every seed (K-Means++ made greedy), until there are `n_residues` or every
    vote has a seed near by."""
    while len(seeds) < n_residues:
        distance = np.minimum(_assign(votes, seeds, symmetry)[1], REACH) if len(seeds) else np.full(len(votes), REACH)
        worst = np.argsort(-weights * distance**2, kind="stable")[: max(1, len(votes) // 100)]
        fresh = votes[worst[distance[worst] > EXCLUSION / 2]]
        if not len(fresh):
            break
        apart = _apart(fresh, symmetry, votes.min(0), votes.max(0))
        seeds = np.concatenate([seeds, fresh[apart][: n_residues - len(seeds)]])
    return seeds
