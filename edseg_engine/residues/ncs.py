"""What copies of a molecule that no symmetry of the crystal relates say of each other's residues.

Many crystals of proteins hold a molecule more than once in the asymmetric unit (non-crystallographic symmetry, NCS).
The density of each copy has errors of its own, so that their classes are told better together. Beliefs are averaged
here; the density itself, which is as old as phasing (Rossmann & Blow, 1963), in `edseg_engine.improvement.averaging`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.residues.superpositions import GUESSED, find_superpositions, frequencies, surest

#: What copies say counts this much: their errors are not independent, and less so where densities were averaged.
_WEIGHT, _WEIGHT_OF_AVERAGED = 0.7, 0.3


@dataclass(frozen=True)
class Copies:
    """Pairs of residues that are the same in two copies of a molecule.

    Attributes
    ----------
    pairs
        shape (n, 2): indices of residues, each pair once.
    probability
        shape (n,): that it is a pair.
    """

    pairs: NDArray[np.intp]
    probability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pairs)


def pooled_over_copies(
    probabilities: NDArray[np.float64], copies: Copies, averaged: bool = False
) -> NDArray[np.float64]:
    """Return class probabilities (k, 17) that heed what the copies of each residue say.

    Parameters
    ----------
    probabilities
        shape (k, 17): what each residue says of itself.
    copies
        See `find_copies`.
    averaged
        Whether they were read in densities that had been averaged between copies.
    """
    weight = _WEIGHT_OF_AVERAGED if averaged else _WEIGHT
    prior = frequencies(probabilities)
    sure = copies.probability[:, None] * (1 - GUESSED)
    logarithms = np.log(np.maximum(probabilities, 1e-9))
    for one, other in (copies.pairs.T, copies.pairs[:, ::-1].T):
        np.add.at(logarithms, one, weight * np.log(sure * probabilities[other] / prior + 1 - sure))
    together = np.exp(logarithms - logarithms.max(1, keepdims=True))
    return np.asarray(together / together.sum(1, keepdims=True))


def find_copies(atoms: NDArray[np.float64], probabilities: NDArray[np.float64], symmetry: Symmetry) -> Copies:
    """Return which residues are the same in copies of a molecule whose densities have errors of their own.

    Parameters
    ----------
    atoms, probabilities, symmetry
        See `find_superpositions`.
    """
    likely: dict[tuple[int, int], float] = {}
    for each in surest(each for each in find_superpositions(atoms, probabilities, symmetry) if each.differ):
        for (one, other), probability in zip(each.pairs.tolist(), each.probability.tolist(), strict=True):
            likely[one, other] = max(likely.get((one, other), 0.0), probability)
    pairs = np.array(list(likely), np.intp).reshape(-1, 2)
    return Copies(pairs, np.array(list(likely.values()), np.float64))
