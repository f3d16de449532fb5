"""Symmetry copies of fragments: connected within, compact together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from edseg_engine.building.records import CA, FloatArray, Fragment, IntArray
from edseg_engine.crystal.symmetry import Symmetry

#: Two CA nearer than this (Å) are in contact.
_CONTACT = 8.0
#: Å that a fragment's centre may be farther from the molecule for one more contact per residue.
_CONTACTS = 6.0


@dataclass(frozen=True, eq=False)
class Pose:
    """A symmetry operation: fractional coordinates x go to ``rotation @ x + translation``."""

    rotation: FloatArray
    translation: FloatArray

    def then(self, rotation: FloatArray, translation: FloatArray) -> Pose:
        """Return this pose of what `rotation` and `translation` moved before."""
        return Pose(self.rotation @ rotation, self.rotation @ translation + self.translation)

    def apply(self, symmetry: Symmetry, positions: FloatArray) -> FloatArray:
        """Return the moved positions (..., 3) in Å."""
        fractional = symmetry.to_fractional(positions.reshape(-1, 3))
        return symmetry.to_orthogonal(fractional @ self.rotation.T + self.translation).reshape(positions.shape)


def path_poses(symmetry: Symmetry, operation: IntArray, shift: IntArray) -> list[Pose]:
    """Return the poses that place the n + 1 residues of a path beside each other; the first stays where it is.

    `operation` (n,) and `shift` (n, 3) bring each next residue beside the original of the one before it.
    """
    poses = [Pose(np.eye(3), np.zeros(3))]
    for op, lattice in zip(operation, shift, strict=True):
        poses.append(poses[-1].then(symmetry.rotations[op], symmetry.translations[op] + lattice))
    return poses


def moved(fragment: Fragment, symmetry: Symmetry, operation: int, shift: IntArray) -> Fragment:
    """Return the copy of a fragment under a symmetry operation and a lattice translation (3,)."""
    pose = Pose(symmetry.rotations[operation], symmetry.translations[operation] + shift)
    return replace(fragment, atoms=pose.apply(symmetry, fragment.atoms))


def copies_near(
    positions: FloatArray, symmetry: Symmetry, point: FloatArray, reach: float
) -> list[tuple[int, IntArray, FloatArray]]:
    """Return (operation, shift, position) of each copy of a position (3,) within `reach` Å of a point (3,)."""
    images = symmetry.images_in_box(positions[None], point - reach, point + reach)
    return [
        (int(images.operation[i]), images.shift[i], images.positions[i])
        for i in range(len(images))
        if np.linalg.norm(images.positions[i] - point) <= reach
    ]


def compact(
    fragments: Sequence[Fragment], symmetry: Symmetry, placed: FloatArray | None = None
) -> tuple[Fragment, ...]:
    """Return the fragments, each in the symmetry copy with which all together are one compact unit.

    The first stays where it is; one after the other is put where it touches most, and nearest to the centre, of what
    is there already. With `placed` (n, 3), CA positions in Å of a model, all of them are put around that.
    """
    if not symmetry.periodic or not fragments:
        return tuple(fragments)
    result: dict[int, Fragment] = {}
    present = np.zeros((0, 3)) if placed is None else placed
    waiting = list(range(len(fragments)))
    if placed is None:
        result[waiting[0]] = fragments[waiting[0]]
        present = fragments[waiting.pop(0)].atoms[:, CA]
    while waiting:
        best: tuple[float, int, Fragment] | None = None
        tree, centre = cKDTree(present), present.mean(0)
        spread = float(np.linalg.norm(present - centre, axis=1).max())
        # Long fragments first: those that are at least half as long as the longest that waits.
        longest = max(len(fragments[i]) for i in waiting)
        for i in (i for i in waiting if 2 * len(fragments[i]) >= longest):
            score, copy = _best_copy(fragments[i], symmetry, tree, centre, spread)
            if best is None or score < best[0]:
                best = (score, i, copy)
        assert best is not None
        _, i, result[i] = best
        waiting.remove(i)
        present = np.concatenate([present, result[i].atoms[:, CA]])
    return tuple(result[i] for i in range(len(fragments)))


def _best_copy(
    fragment: Fragment, symmetry: Symmetry, tree: cKDTree, centre: FloatArray, spread: float
) -> tuple[float, Fragment]:
    ca = fragment.atoms[:, CA]
    middle = ca.mean(0)
    best: tuple[float, Fragment] | None = None
    reach = spread + float(np.linalg.norm(ca - middle, axis=1).max()) + _CONTACT
    while best is None:
        for operation, shift, position in copies_near(middle, symmetry, centre, reach):
            copy = moved(fragment, symmetry, operation, shift)
            distance = tree.query(copy.atoms[:, CA], workers=1)[0]
            score = float(np.linalg.norm(position - centre) - _CONTACTS * np.mean(distance < _CONTACT))
            if best is None or score < best[0]:
                best = (score, copy)
        reach *= 1.5
    return best
