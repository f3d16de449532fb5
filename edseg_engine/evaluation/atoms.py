"""How far the atoms of the backbone that a map's voxels vote for are from those of its model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.evaluation.matching import Matching
from edseg_engine.labels import ATOMS
from edseg_engine.pipeline import FoundResidues
from edseg_engine.residues.known import KnownResidues

#: Atoms within this distance (Å) of the truth count as right.
CLOSE = 1.0


def atom_errors(
    residues: KnownResidues, found: FoundResidues, matching: Matching, symmetry: Symmetry
) -> NDArray[np.float64]:
    """Return the distance (Å) of every voted atom of the residues found from that of the model.

    Returns
    -------
    array, shape (n, len(ATOMS))
        One row for each pair of `matching`; NaN where the model has no such atom. No rows if the network does not vote
        for atoms.
    """
    if found.backbone is None:
        return np.empty((0, len(ATOMS)))
    centroids, points = residues.centroids[matching.true], residues.points[matching.true]
    operation, shift = symmetry.nearest_copies(centroids, found.positions[matching.found])
    voted = found.backbone.atoms[matching.found]
    errors = [
        np.linalg.norm(symmetry.apply(points[:, 1 + a], operation, shift) - voted[:, a], axis=1)
        for a in range(len(ATOMS))
    ]
    return np.stack(errors, axis=1)


def atom_figures(errors: Sequence[NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Return for each atom the median error (Å) and the share within `CLOSE` over all maps; empty without votes."""
    together = np.concatenate(errors)
    return {
        name: {"median": float(np.median(known)), "close": float((known < CLOSE).mean())}
        for name, column in zip(ATOMS, together.T, strict=True)
        if len(known := column[np.isfinite(column)])
    }
