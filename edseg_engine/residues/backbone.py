"""The backbone of each residue: where its voxels vote its atoms to be.

The trick that finds centroids finds atoms (thesis, chapter 7, names it as the next step): the voxels of an instance
each point at N, CA, C, O and CB of their residue and at the CA of its neighbours. The mean is taken as it
is; no geometry is imposed. From there `edseg_engine.inference.frames` reads the density around each residue.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.residues.instances import PULL, Instances

#: Votes this far (Å) from the mean count half: voxels between two residues point half way.
_TOLERANCE = 0.7
_ITERATIONS = 6


@dataclass(frozen=True)
class Backbone:
    """Atoms of k residues, as voted, or as then read in the frames of the votes.

    Attributes
    ----------
    atoms
        float64, shape (k, 7, 3): positions in Å, in the order of `edseg_engine.labels.ATOMS`.
    """

    atoms: NDArray[np.float64] = field(repr=False)

    def moved(self, centroids: NDArray[np.float64], goals: NDArray[np.float64], symmetry: Symmetry) -> Backbone:
        """Return the atoms in the symmetry copies in which the `centroids` (k, 3) lie at the `goals` (k, 3)."""
        operation, shift = symmetry.nearest_copies(centroids, goals)
        atoms = [symmetry.apply(self.atoms[:, a], operation, shift) for a in range(self.atoms.shape[1])]
        return Backbone(np.stack(atoms, 1))


def vote_backbone(instances: Instances, prediction: VoxelPrediction, symmetry: Symmetry) -> Backbone | None:
    """Return the backbone of every instance beside its centroid; None if the network does not vote for atoms."""
    if prediction.atoms is None:
        return None
    k, n_atoms = len(instances), prediction.atoms.shape[1]
    weights = prediction.weights
    chosen = np.flatnonzero(instances.members >= 0)
    members = instances.members[chosen]
    votes, goals = prediction.votes[chosen].astype(np.float64), instances.centroids[members]
    operation, shift = symmetry.nearest_copies(votes, goals)
    near = np.linalg.norm(symmetry.apply(votes, operation, shift) - goals, axis=1) < PULL
    chosen, members, operation, shift = chosen[near], members[near], operation[near], shift[near]
    here = prediction.positions[chosen].astype(np.float64)
    atoms = np.empty((k, n_atoms, 3))
    for a in range(n_atoms):
        points = symmetry.apply(here + prediction.atoms[chosen, a], operation, shift)
        atoms[:, a] = robust_means(points, weights[chosen].astype(np.float64), members, instances.centroids)
    return Backbone(atoms)


def robust_means(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    members: NDArray[np.intp],
    otherwise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return means (k, 3) of the points (n, 3) of each of k groups, far ones counting less.

    A group without a point has its row of `otherwise` (k, 3).
    """
    k = len(otherwise)
    w = weights
    for _ in range(_ITERATIONS):
        total = np.bincount(members, w, minlength=k)
        sums = np.stack([np.bincount(members, w * points[:, axis], minlength=k) for axis in range(3)], 1)
        means = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], otherwise)
        squares = ((points - means[members]) ** 2).sum(1)
        w = weights / (1 + squares / _TOLERANCE**2)
    return np.asarray(means)
