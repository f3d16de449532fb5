"""Which symmetry copy of each residue is reported: those that together make compact molecules."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.symmetry import Symmetry

#: Centroids of neighbours along a chain are about this far apart (Å) at most.
NEIGHBOUR = 7.5


def assemble(centroids: NDArray[np.float64], symmetry: Symmetry) -> NDArray[np.float64]:
    """Return a copy (k, 3) of each centroid such that neighbours in the crystal become neighbours in space.

    A minimum spanning tree is grown from the best-connected residue (Prim): the residue whose nearest copy is nearest
    to what is already placed comes next. What is left without a neighbour starts a new tree. Each tree is then moved
    as a whole by the lattice translation that brings its centre into the cell."""
    k = len(centroids)
    if not symmetry.periodic or k == 0:
        return centroids.copy()
    low, high = centroids.min(0) - NEIGHBOUR, centroids.max(0) + NEIGHBOUR
    images = symmetry.images_in_box(centroids, low, high)
    near = cKDTree(images.positions).query_ball_point(centroids, NEIGHBOUR)
    placed = np.full((k, 3), np.nan)
    done = np.zeros(k, bool)
    rotations = symmetry.rotations
    fractional = symmetry.to_fractional(centroids)
    for start in np.argsort([-len(n) for n in near], kind="stable"):
        if done[start]:
            continue
        tree: list[int] = []
        # Each entry: distance, residue, and the operation (rotation, translation) that places it.
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
            for image in near[residue]:
                other = int(images.index[image])
                if done[other]:
                    continue
                own = rotations[images.operation[image]]
                shift = symmetry.translations[images.operation[image]] + images.shift[image]
                poses.append((rotation @ own, rotation @ shift + translation))
                distance = float(np.linalg.norm(images.positions[image] - centroids[residue]))
                heapq.heappush(heap, (distance, len(poses) - 1, other))
        placed[tree] -= np.floor(placed[tree].mean(0))
    return symmetry.to_orthogonal(placed)
