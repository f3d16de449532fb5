"""Which residue found is which residue of the model: a linear assignment of centroids under symmetry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Symmetry

#: A residue is found when a centroid lies within this distance (Å) of its own.
MATCH_DISTANCE = 3.0


try:  # the solver of the thesis, where it can be installed; both give an optimal assignment
    from lapsolver import solve_dense as _assignment
except ImportError:
    from scipy.optimize import linear_sum_assignment as _assignment


@dataclass(frozen=True)
class Matching:
    """Pairs of found and true residues: `found[i]` is `true[i]`, at `distance[i]` Å; each shape (n,)."""

    found: NDArray[np.intp]
    true: NDArray[np.intp]
    distance: NDArray[np.float64]


def match(
    found: NDArray[np.float64], true: NDArray[np.float64], symmetry: Symmetry, cutoff: float = MATCH_DISTANCE
) -> Matching:
    """Pair positions (k, 3) with true ones (n, 3), in Å, each used once: as many pairs within `cutoff` as possible, at
    the least sum of distances to the nearest symmetry copies."""
    empty = Matching(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    if not len(found) or not len(true):
        return empty
    images = symmetry.images_in_box(true, found.min(0) - cutoff, found.max(0) + cutoff)
    if not len(images):
        return empty
    pairs = cKDTree(found).sparse_distance_matrix(cKDTree(images.positions), cutoff, output_type="ndarray")
    if not len(pairs):
        return empty
    nearest: dict[tuple[int, int], float] = {}
    for i, j, distance in zip(pairs["i"], images.index[pairs["j"]], pairs["v"], strict=True):
        key = (int(i), int(j))
        nearest[key] = min(nearest.get(key, np.inf), float(distance))
    rows, columns = np.array(list(nearest), np.intp).T
    values = np.array(list(nearest.values()))
    # Far residues cannot compete for a partner: each connected group of candidates is a small problem of its own.
    size = len(found) + len(true)
    graph = coo_array((np.ones(len(rows)), (rows, columns + len(found))), shape=(size, size))
    group = connected_components(graph, directed=False)[1][rows]
    out_found, out_true, out_distance = [], [], []
    for edges in np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]):
        if not len(edges):
            continue
        r, row = np.unique(rows[edges], return_inverse=True)
        c, column = np.unique(columns[edges], return_inverse=True)
        cost = np.full((len(r), len(c)), 1e3)
        cost[row, column] = values[edges]
        for i, j in zip(*_assignment(cost), strict=True):
            if cost[i, j] <= cutoff:
                out_found.append(r[i])
                out_true.append(c[j])
                out_distance.append(cost[i, j])
    return Matching(np.array(out_found, np.intp), np.array(out_true, np.intp), np.array(out_distance))
