"""Register shifts: stretches of a chain whose density fits the sequence of the model a few residues off."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edseg_engine.residues.composition import SHARES

#: The largest shift that is looked for, in residues.
MOST = 5
#: Shortest stretch that is called, in residues, and the least evidence (nats) for it.
SHORTEST, LEAST_EVIDENCE = 5, 5.0
#: How often the probabilities are wrong without saying so, and the price (nats) of a change of the register.
_SURPRISE, _SWITCH = 0.05, 4.0


@dataclass(frozen=True)
class Shift:
    """A stretch whose types are found elsewhere in the sequence.

    Attributes
    ----------
    first, last
        Indices of the first and of the last residue.
    by
        The density of residue i looks like the type that the model has `by` residues further on.
    evidence
        Natural logarithm of how much better the shifted types fit than both the model's and any protein's.
    """

    first: int
    last: int
    by: int
    evidence: float

    def __len__(self) -> int:
        return self.last - self.first + 1


def shifted_fit(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp], places: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return how well the types of a chain fit when moved along it.

    Parameters
    ----------
    probabilities
        shape (n, 17): what each residue of the chain looks like.
    labels
        shape (n,): class of each residue in the model.
    places
        shape (n,): place of each residue in the sequence, increasing; what lies between is unknown.

    Returns
    -------
    NDArray
        shape (n, 2 * MOST + 1): log-likelihood ratio (nats) of the type at a shift of -MOST ... MOST against that of
        any residue; 0 where the sequence is not known.
    """
    sequence = np.full(places[-1] + 1 + 2 * MOST, -1, np.intp)
    sequence[places + MOST] = labels
    types = sequence[places[:, None] + np.arange(2 * MOST + 1)]
    ratio = (1 - _SURPRISE) * probabilities / np.array(SHARES) + _SURPRISE
    return np.where(types >= 0, np.log(np.take_along_axis(ratio, np.maximum(types, 0), axis=1)), 0.0)


def find_shifts(fit: NDArray[np.float64]) -> list[Shift]:
    """Return the shifted stretches of a chain, in its order.

    The states of a hidden Markov model are the shifts and "no part of this sequence"; its most probable path changes
    the state only for good reason.

    Parameters
    ----------
    fit
        shape (n, 2 * MOST + 1), as `shifted_fit` returns it.
    """
    n = len(fit)
    states = _best_path(np.hstack([fit, np.zeros((n, 1))]))
    borders = np.flatnonzero(np.diff(states, prepend=-1, append=-1))
    shifts = []
    for first, end in pairwise(borders):
        by = int(states[first]) - MOST
        if by == 0 or by > MOST or end - first < SHORTEST:
            continue
        stretch = fit[first:end]
        evidence = float(stretch[:, MOST + by].sum() - max(stretch[:, MOST].sum(), 0.0))
        if evidence >= LEAST_EVIDENCE:
            shifts.append(Shift(int(first), int(end) - 1, by, evidence))
    return shifts


def _best_path(emission: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the state (n,) at each step of the best path through log-likelihoods (n, m), by Viterbi's algorithm."""
    n, m = emission.shape
    start = np.full(m, -_SWITCH)
    start[MOST] = 0.0
    score = start + emission[0]
    before = np.empty((n, m), np.intp)
    for i in range(1, n):
        best = int(score.argmax())
        stays = score >= score[best] - _SWITCH
        before[i] = np.where(stays, np.arange(m), best)
        score = np.maximum(score, score[best] - _SWITCH) + emission[i]
    path = np.empty(n, np.intp)
    path[-1] = score.argmax()
    for i in range(n - 1, 0, -1):
        path[i - 1] = before[i, path[i]]
    return path
