"""What the maps of several cycles say of the same residues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from edseg_engine.building.records import CA, BackboneResidues

#: Two CA nearer than this (Å) are the same residue, found again.
_SAME = 1.2
#: Least probability of a class that counts.
_LEAST = 1e-4


def pooled(residues: BackboneResidues, before: BackboneResidues, weight: float) -> BackboneResidues:
    """Return the residues of a map, their types agreed upon with those of an earlier map in the same places.

    The maps of a run are not independent, so that the logarithms of the probabilities are averaged, not added.

    Parameters
    ----------
    residues
        Of the new map.
    before
        Of the earlier one.
    weight
        Of the earlier map, 0 to 1.
    """
    if not len(residues) or not len(before):
        return residues
    ca = residues.atoms[:, CA]
    images = residues.symmetry.images_in_box(before.atoms[:, CA], ca.min(0) - _SAME, ca.max(0) + _SAME)
    if not len(images):
        return residues
    distance, nearest = cKDTree(images.positions).query(ca)
    again = distance < _SAME
    earlier = before.probabilities[images.index[nearest[again]]]
    logarithms = np.log(np.maximum(residues.probabilities, _LEAST))
    logarithms[again] = (1 - weight) * logarithms[again] + weight * np.log(np.maximum(earlier, _LEAST))
    probabilities = np.exp(logarithms)
    return replace(residues, probabilities=probabilities / probabilities.sum(1, keepdims=True))
