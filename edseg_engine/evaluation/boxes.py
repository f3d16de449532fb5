"""Which built residue is which true one by their bounding boxes, as the thesis paired those of ARP/wARP (5.3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import FloatArray, Symmetry
from edseg_engine.evaluation.matching import Matching
from edseg_engine.evaluation.protein import ProteinResidue

#: Residues whose centroids lie farther apart (Å) have no boxes that overlap much.
_REACH = 8.0


def match_boxes(built: Sequence[ProteinResidue], true: Sequence[ProteinResidue], symmetry: Symmetry) -> Matching:
    """Pair each built residue with the true one whose box has the highest intersection over union with its own.

    Boxes enclose the atoms, along x, y and z, and those of the true residues lie around all symmetry copies. Where two
    built residues choose the same true one, the higher overlap counts.
    """
    centroids = np.array([residue.centroid for residue in built])
    theirs = np.array([residue.centroid for residue in true])
    images = symmetry.images_in_box(theirs, centroids.min(0) - _REACH, centroids.max(0) + _REACH)
    if not len(images):
        return Matching(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    near = cKDTree(centroids).query_ball_tree(cKDTree(images.positions), _REACH)
    boxes = {}
    for image in sorted({image for candidates in near for image in candidates}):
        atoms = np.array(list(true[images.index[image]].atoms.values()))
        n = len(atoms)
        boxes[image] = _box(
            symmetry.apply(atoms, np.full(n, images.operation[image]), np.tile(images.shift[image], (n, 1)))
        )
    best: dict[int, tuple[float, int, int]] = {}
    for i, candidates in enumerate(near):
        own = _box(np.array(list(built[i].atoms.values())))
        overlap, image = max(((_overlap(own, boxes[image]), image) for image in candidates), default=(0.0, 0))
        j = int(images.index[image])
        if overlap > best.get(j, (0.0, 0, 0))[0]:
            best[j] = (overlap, i, image)
    found = np.array([i for _, i, _ in best.values()], np.intp)
    copies = np.array([image for _, _, image in best.values()], np.intp)
    distance = np.linalg.norm(images.positions[copies] - centroids[found], axis=1)
    return Matching(found, np.array(list(best), np.intp), distance)


def _box(atoms: FloatArray) -> FloatArray:
    """Return the lower and the upper corner, (2, 3), around atoms (n, 3)."""
    return np.stack([atoms.min(0), atoms.max(0)])


def _overlap(a: FloatArray, b: FloatArray) -> float:
    """Return the intersection over union of two boxes."""
    edges = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
    shared = float(np.prod(np.maximum(edges, 0.0)))
    return shared / (float(np.prod(a[1] - a[0]) + np.prod(b[1] - b[0])) - shared) if shared > 0 else 0.0
