"""Which residues may follow each other, and how well the votes fit a peptide bond between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.building.records import CA, CB, BackboneResidues, C, FloatArray, IntArray, N, O

#: Distances (Å) across a trans peptide bond, from an atom of a residue to one of the next, and how much each counts:
#: they share atoms, so that together they weigh less than independent ones.
PEPTIDE: tuple[tuple[int, int, float, float], ...] = (
    (C, N, 1.33, 1.0),
    (CA, CA, 3.80, 1.0),
    (CA, N, 2.43, 0.5),
    (C, CA, 2.43, 0.5),
    (O, N, 2.25, 0.5),
)
#: Å between two CA of which one may follow the other, however wrong the votes.
_REACH = 6.5
#: Least error (Å) of a distance that votes are trusted with, and the one assumed at first.
_LEAST_ERROR, _FIRST_ERROR = 0.2, 0.5
#: A deviation beyond this many errors is an outlier, whose size says nothing more.
_OUTLIER = 3.5
#: Mean volume (Å³) that N, C and CB of an L amino acid span around CA, and its spread.
_CHIRAL_VOLUME, _CHIRAL_SPREAD = 2.5, 1.5


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs of residues of which the second may follow the first.

    Attributes
    ----------
    first, second
        shape (m,): indices of the residues.
    operation, shift
        shape (m,), (m, 3): symmetry operation and lattice translation that bring `second` beside `first`.
    deviations
        shape (m, t): |observed - ideal| of t distances in Å; NaN where there is no vote.
    weights
        shape (t,): how much each counts.
    """

    first: IntArray
    second: IntArray
    operation: IntArray
    shift: IntArray
    deviations: FloatArray
    weights: FloatArray

    def costs(self, error: float) -> FloatArray:
        """Return for each link half the mean squared deviation (m,), in units of the `error` (Å) of a distance."""
        scaled = np.minimum(self.deviations / error, _OUTLIER)
        known = np.isfinite(scaled) * self.weights
        return np.asarray(0.5 * (np.nan_to_num(scaled) ** 2 * known).sum(1) / known.sum(1))

    def error(self, chosen: NDArray[np.bool_] | IntArray) -> float:
        """Return the error (Å) of a distance that the deviations of the `chosen` links show."""
        if not len(self.first[chosen]):
            return _FIRST_ERROR
        # The median of |x| of a normal distribution is 0.674 of its standard deviation.
        return max(_LEAST_ERROR, float(np.nanmedian(self.deviations[chosen])) / 0.674)


def find_links(residues: BackboneResidues) -> Links:
    """Return every pair of residues, over all symmetry copies, that may be neighbours in a chain."""
    atoms, symmetry = residues.atoms, residues.symmetry
    k = len(residues)
    ca = atoms[:, CA]
    images = symmetry.images_in_box(ca, ca.min(0) - _REACH, ca.max(0) + _REACH)
    pairs = cKDTree(ca).sparse_distance_matrix(cKDTree(images.positions), _REACH, output_type="ndarray")
    first, image = pairs["i"].astype(np.intp), pairs["j"].astype(np.intp)
    second, operation, shift = images.index[image], images.operation[image], images.shift[image]
    others = first != second
    first, second, operation, shift = first[others], second[others], operation[others], shift[others]
    following = np.stack([symmetry.apply(atoms[second, a], operation, shift) for a in range(5)], 1)
    deviations, weights = [], []
    for a, b, ideal, weight in PEPTIDE:
        deviations.append(np.abs(np.linalg.norm(atoms[first, a] - following[:, b], axis=1) - ideal))
        weights.append(weight)
    if residues.next_ca is not None:
        deviations.append(np.linalg.norm(residues.next_ca[first] - following[:, CA], axis=1) / np.sqrt(3))
        weights.append(1.5)
    if residues.previous_ca is not None:
        votes = symmetry.apply(residues.previous_ca[second], operation, shift)
        deviations.append(np.linalg.norm(votes - atoms[first, CA], axis=1) / np.sqrt(3))
        weights.append(1.5)
    links = Links(first, second, operation, shift, np.stack(deviations, 1), np.array(weights))
    # Of several copies of a residue only the best can follow.
    order = np.lexsort([links.costs(_FIRST_ERROR), first * k + second])
    best = order[np.unique((first * k + second)[order], return_index=True)[1]]
    return Links(first[best], second[best], operation[best], shift[best], links.deviations[best], links.weights)


def reverse(residues: BackboneResidues, chosen: NDArray[np.bool_]) -> BackboneResidues:
    """Return the residues with the `chosen` (k,) ones running the other way: N and C change places; O is not known."""
    atoms = residues.atoms.copy()
    atoms[chosen] = atoms[chosen][:, [C, CA, N, O, CB]]
    atoms[chosen, O] = np.nan
    following, preceding = residues.next_ca, residues.previous_ca
    if following is not None and preceding is not None:
        following, preceding = (
            np.where(chosen[:, None], b, a) for a, b in ((following, preceding), (preceding, following))
        )
    return replace(residues, atoms=atoms, next_ca=following, previous_ca=preceding)


def handedness(atoms: FloatArray) -> FloatArray:
    """Return the log-odds (k,) that residues (k, 5, 3) run as their atoms say, from the hand of N, C and CB about CA.

    The side chain of an L amino acid is right for one direction of the chain only.
    """
    n, c, cb = (atoms[:, a] - atoms[:, CA] for a in (N, C, CB))
    volume = np.einsum("ij,ij->i", np.cross(n, c), cb)
    return np.asarray(np.clip(2 * volume * _CHIRAL_VOLUME / _CHIRAL_SPREAD**2, -3, 3))
