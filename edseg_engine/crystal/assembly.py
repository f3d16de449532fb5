"""Which symmetry copy of each residue is reported: those that together make compact molecules."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Symmetry

#: Residues farther apart than this (Å) do not draw each other to their molecule.
NEIGHBOUR = 12.0
#: Å that a residue's nearest neighbour may be farther away for each Å that it then is nearer to the molecule's centre.
COMPACTNESS = 0.15
#: A point of the cell (fractions of its edges) that lies on no element of any symmetry.
_MIDDLE = np.array([0.47, 0.44, 0.41])


def assemble(centroids: NDArray[np.float64], symmetry: Symmetry) -> NDArray[np.float64]:
    """Return a copy (k, 3) of each centroid such that neighbours in the crystal become neighbours in space.

    A spanning tree is grown from the best-connected residue (Prim): the residue comes next whose nearest copy is
    nearest to what is already placed, with some preference for the centre, so that no molecule grows into its own
    symmetry copy. What is left without a neighbour starts a new tree. Of the copies of each tree as a whole the one is
    taken whose centre is in the cell and nearest to `_MIDDLE`, so that the last digits of positions do not choose.
    """
    k = len(centroids)
    if not symmetry.periodic or k == 0:
        return centroids.copy()
    images = symmetry.images_in_box(centroids, centroids.min(0) - NEIGHBOUR, centroids.max(0) + NEIGHBOUR)
    near = cKDTree(images.positions).query_ball_point(centroids, NEIGHBOUR)
    fractional = symmetry.to_fractional(centroids)
    placed = np.full((k, 3), np.nan)
    done = np.zeros(k, bool)
    # A sum of distances, unlike a number of neighbours, hardly changes with the last digit of a position.
    away = [np.linalg.norm(images.positions[n] - c, axis=1) for c, n in zip(centroids, near, strict=True)]
    for start in np.argsort([-(NEIGHBOUR - each).sum() for each in away], kind="stable"):
        if done[start]:
            continue
        tree: list[int] = []
        total = np.zeros(3)
        # Each entry: cost, residue, and the pose (rotation, translation) that places it.
        heap: list[tuple[float, int, int]] = [(0.0, 0, int(start))]
        poses = [(np.eye(3), np.zeros(3))]
        while heap:
            _, pose, residue = heapq.heappop(heap)
            if done[residue]:
                continue
            rotation, translation = poses[pose]
            done[residue] = True
            tree.append(residue)
            placed[residue] = rotation @ fractional[residue] + translation
            total += placed[residue]
            for image in near[residue]:
                other = int(images.index[image])
                if done[other]:
                    continue
                operation = images.operation[image]
                shift = symmetry.translations[operation] + images.shift[image]
                poses.append((rotation @ symmetry.rotations[operation], rotation @ shift + translation))
                position = poses[-1][0] @ fractional[other] + poses[-1][1]
                to_neighbour = np.linalg.norm(images.positions[image] - centroids[residue])
                to_centre = np.linalg.norm(symmetry.orthogonalisation @ (position - total / len(tree)))
                heapq.heappush(heap, (float(to_neighbour + COMPACTNESS * to_centre), len(poses) - 1, other))
        placed[tree] = _canonical(placed[tree], symmetry)
    return symmetry.to_orthogonal(placed)


def _canonical(tree: NDArray[np.float64], symmetry: Symmetry) -> NDArray[np.float64]:
    """Return the copy of a molecule (n, 3), in fractional coordinates, that `assemble` takes."""
    centres = symmetry.rotations @ tree.mean(0) + symmetry.translations
    shifts = np.floor(centres)
    away = np.linalg.norm((centres - shifts - _MIDDLE) @ symmetry.orthogonalisation.T, axis=1)
    best = int(away.argmin())
    return np.asarray(tree @ symmetry.rotations[best].T + symmetry.translations[best] - shifts[best])
