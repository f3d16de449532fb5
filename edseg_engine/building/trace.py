"""Residues to chains: the links that together fit best, as an assignment problem (thesis: LAP)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from edseg_engine.building.links import Links, find_links, handedness, reverse
from edseg_engine.building.peptide import carbonyls
from edseg_engine.building.placing import compact, path_poses
from edseg_engine.building.records import CA, BackboneResidues, FloatArray, Fragment, IntArray, Trace

#: A link that fits worse than this (half the mean squared deviation in errors) is no link.
_WORST = 1.5
#: Distances are rarely more exact than the first estimate of the error says, and never trusted beyond this (Å).
_FIRST_ERROR, _LARGEST_ERROR = 0.5, 0.75
#: Two CA nearer than this (Å) cannot both exist.
_CLASH = 2.4
#: How much better (in costs of a link) a chain must become for a fragment to be turned round.
_REVERSAL = 0.4
_TURNS = 5


def trace(residues: BackboneResidues) -> Trace:
    """Link residues to chains without branches, each in one piece, together in one compact unit.

    The links are the linear assignment of each residue to the one that follows it, or to none, which costs least.
    Residues, and short fragments, that fit their neighbours only in the other direction are turned round. What lies in
    the place of a better-connected residue is dropped.
    """
    k = len(residues)
    if k == 0:
        return Trace((), residues.symmetry)
    residues = _in_cell(residues)
    error = _FIRST_ERROR
    for turn in range(_TURNS):
        links = find_links(residues)
        chosen = assign(links, links.costs(error), k)
        error = min(max(links.error(chosen), 0.6 * _FIRST_ERROR), _LARGEST_ERROR)
        chosen = assign(links, links.costs(error), k)
        chains = follow(links, links.costs(error), chosen, k)
        turned = _turned_round(residues, chains, error)
        if turn == _TURNS - 1 or not turned.any():
            break
        residues = reverse(residues, turned)
    dropped = _impossible(residues, chains)
    chains = [part for chain in chains for part in _without(chain, dropped)]
    step = {(int(i), int(j)): n for n, (i, j) in enumerate(zip(links.first, links.second, strict=True))}
    fragments = []
    for chain in sorted(chains, key=len, reverse=True):
        steps = np.array([step[i, j] for i, j in pairwise(chain)], np.intp)
        poses = path_poses(residues.symmetry, links.operation[steps], links.shift[steps])
        index = np.array(chain, np.intp)
        atoms = np.stack(
            [pose.apply(residues.symmetry, residues.atoms[i]) for i, pose in zip(index, poses, strict=True)]
        )
        fragments.append(Fragment(index, carbonyls(atoms), residues.probabilities[index], residues.confidence[index]))
    return Trace(compact(tuple(fragments), residues.symmetry), residues.symmetry, np.flatnonzero(dropped))


def assign(links: Links, costs: FloatArray, k: int) -> IntArray:
    """Return the indices of the links whose total of (cost - worst) is least; each residue has one neighbour a side."""
    good = np.flatnonzero(costs < _WORST)
    # Every residue has its own way out; adding one to all costs keeps them from being taken for absent.
    rows = np.concatenate([links.first[good], np.arange(k)])
    columns = np.concatenate([links.second[good], k + np.arange(k)])
    values = np.concatenate([costs[good], np.full(k, _WORST)]) + 1.0
    row, column = min_weight_full_bipartite_matching(coo_array((values, (rows, columns)), shape=(k, 2 * k)).tocsr())
    partner = np.full(k, -1)
    partner[row] = column
    return good[partner[links.first[good]] == links.second[good]]


def follow(links: Links, costs: FloatArray, chosen: IntArray, k: int) -> list[list[int]]:
    """Return the chains (lists of residues from N to C terminus) of the chosen links; rings break where worst."""
    following = {int(links.first[m]): m for m in chosen}
    preceded = {int(links.second[m]) for m in chosen}
    chains: list[list[int]] = []
    seen = np.zeros(k, bool)

    def walk(start: int) -> list[int]:
        chain = [start]
        seen[start] = True
        while chain[-1] in following and not seen[links.second[following[chain[-1]]]]:
            chain.append(int(links.second[following[chain[-1]]]))
            seen[chain[-1]] = True
        return chain

    for residue in range(k):
        if residue not in preceded:
            chains.append(walk(residue))
    for residue in range(k):
        if not seen[residue]:
            ring = walk(residue)
            worst = int(np.argmax([costs[following[r]] for r in ring])) + 1
            chains.append(ring[worst:] + ring[:worst])
    return chains


def _in_cell(residues: BackboneResidues) -> BackboneResidues:
    """Return the residues moved by lattice translations into one cell, so that few copies reach it."""
    symmetry = residues.symmetry
    if not symmetry.periodic:
        return residues
    move = symmetry.to_orthogonal(-np.floor(symmetry.to_fractional(residues.atoms[:, CA])))
    following, preceding = (None if v is None else v + move for v in (residues.next_ca, residues.previous_ca))
    return replace(residues, atoms=residues.atoms + move[:, None], next_ca=following, previous_ca=preceding)


def _turned_round(residues: BackboneResidues, chains: list[list[int]], error: float) -> NDArray[np.bool_]:
    """Return which residues (k,) to reverse: those of fragments that in the other direction fit others' ends.

    Only one of two neighbouring fragments is turned, the shorter.
    """
    k = len(residues)
    of_chain = np.zeros(k, np.intp)
    length = np.zeros(k, np.intp)
    starts, ends = np.zeros(k, bool), np.zeros(k, bool)
    for number, chain in enumerate(chains):
        of_chain[chain], length[chain] = number, len(chain)
        starts[chain[0]] = ends[chain[-1]] = True
    hand = np.bincount(of_chain, handedness(residues.atoms), len(chains))
    gain = np.zeros((len(chains), 2))
    # A reversed fragment begins with what was its end.
    for side in (0, 1):
        free = ends if side == 0 else starts
        other = ends if side == 0 else starts
        # Unchanged residues, then reversed ones, which follow (side 0) or precede (side 1) the former.
        both = _together(residues, reverse(residues, free))
        links = find_links(both)
        costs = links.costs(error)
        to, fro = (links.second, links.first) if side == 0 else (links.first, links.second)
        fits = (costs < _WORST) & (to >= k) & (fro < k)
        fits[fits] &= free[to[fits] - k] & other[fro[fits]]
        fits[fits] &= of_chain[to[fits] - k] != of_chain[fro[fits]]
        fits[fits] &= length[to[fits] - k] <= length[fro[fits]]
        np.maximum.at(gain, (of_chain[to[fits] - k], np.full(fits.sum(), side)), _WORST - costs[fits])
    evidence = gain.sum(1) - _REVERSAL - 0.25 * hand
    turned_chain = (gain.max(1) > 0) & (evidence > 0)
    return np.asarray(turned_chain[of_chain])


def _together(a: BackboneResidues, b: BackboneResidues) -> BackboneResidues:
    following, preceding = (
        None if x is None or y is None else np.concatenate([x, y])
        for x, y in ((a.next_ca, b.next_ca), (a.previous_ca, b.previous_ca))
    )
    return BackboneResidues(
        np.concatenate([a.atoms, b.atoms]),
        np.concatenate([a.probabilities, b.probabilities]),
        np.concatenate([a.confidence, b.confidence]),
        a.symmetry,
        following,
        preceding,
    )


def _impossible(residues: BackboneResidues, chains: list[list[int]]) -> NDArray[np.bool_]:
    """Return which residues (k,) lie in the place of one in a longer fragment, or of a more confident one."""
    k = len(residues)
    length = np.zeros(k)
    for chain in chains:
        length[chain] = min(len(chain), 10)
    rank = np.argsort(np.argsort(length + residues.confidence, kind="stable"), kind="stable")
    ca = residues.atoms[:, CA]
    images = residues.symmetry.images_in_box(ca, ca.min(0) - _CLASH, ca.max(0) + _CLASH)
    near = cKDTree(ca).sparse_distance_matrix(cKDTree(images.positions), _CLASH, output_type="ndarray")
    first, second = near["i"].astype(np.intp), images.index[near["j"]]
    itself = (first == second) & (near["v"] < 1e-6)
    first, second = first[~itself], second[~itself]
    dropped = np.zeros(k, bool)
    for i in np.argsort(-rank[first], kind="stable"):
        a, b = first[i], second[i]
        if rank[a] >= rank[b] and not dropped[a]:
            dropped[b] = True
    return dropped


def _without(chain: list[int], dropped: NDArray[np.bool_]) -> list[list[int]]:
    """Return the parts of a chain between dropped residues."""
    parts: list[list[int]] = [[]]
    for residue in chain:
        if dropped[residue]:
            parts.append([])
        else:
            parts[-1].append(residue)
    return [part for part in parts if part]
