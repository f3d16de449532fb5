"""How probable it is that a residue of a fragment is a certain one of the sequence: a hidden Markov model.

Fragment residues follow the sequence one by one. Rarely the trace has left one out, has one too many, or goes on
somewhere else; and a residue may belong to no sequence at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.building.records import FloatArray, IntArray
from edseg_engine.labels import label_of_letter
from edseg_engine.residues.composition import SHARES

#: Probability that the trace leaves a residue out, has one too many, goes on elsewhere, or outside the sequence.
_SKIP, _INSERT, _JUMP, _LEAVE = 0.004, 0.004, 0.004, 0.004
#: Probability that a fragment begins outside every sequence, and that what is outside comes to a sequence.
_OUTSIDE, _ENTER = 0.3, 0.1
#: How often the probabilities are wrong without saying so.
_SURPRISE = 0.02

#: Sequences of which at least this share is equal are copies of one chain.
_SAME = 0.9


@dataclass(frozen=True, eq=False)
class Places:
    """All residues of all sequences, one after another.

    Attributes
    ----------
    classes
        shape (m,): index of the class; -1 for an unknown residue.
    sequence
        shape (m,): index of the sequence.
    first
        shape (m,): whether a sequence begins here.
    """

    classes: IntArray
    sequence: IntArray
    first: NDArray[np.bool_]

    @classmethod
    def of(cls, sequences: Sequence[str]) -> Places:
        """Return the places of sequences in one-letter code."""
        labels = [label_of_letter(letter) for letters in sequences for letter in letters]
        number = np.repeat(np.arange(len(sequences)), [len(letters) for letters in sequences])
        return cls(
            np.array([-1 if label is None else label for label in labels], np.intp),
            number,
            np.diff(number, prepend=-1) > 0,
        )

    def __len__(self) -> int:
        return len(self.classes)

    def likelihood(self, probabilities: FloatArray) -> FloatArray:
        """Return for class probabilities (n, 17) the likelihood (n, m) of each place, relative to any residue's."""
        ratio = (1 - _SURPRISE) * probabilities / np.array(SHARES) + _SURPRISE
        return np.asarray(np.where(self.classes >= 0, ratio[:, self.classes], 1.0))


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where a fragment lies.

    Attributes
    ----------
    posterior
        shape (n, m): probability that a residue of the fragment is in a place.
    evidence
        Natural logarithm of how much more likely the fragment is with the sequences than without.
    """

    posterior: FloatArray
    evidence: float


def align(probabilities: FloatArray, places: Places) -> Alignment:
    """Return where residues with class probabilities (n, 17), in the order of the chain, lie in the sequences."""
    n, m = len(probabilities), len(places)
    emission = places.likelihood(probabilities)
    inside = (~places.first).astype(float)
    two_inside = inside * np.concatenate([[0.0], inside[:-1]])
    stay = 1 - _SKIP - _INSERT - _JUMP - _LEAVE

    # A state: the m places, then the m insertions after a place, then outside of all sequences.
    def forward(state: FloatArray) -> FloatArray:
        at, inserted, outside = state[:m], state[m:-1], state[-1]
        new = np.zeros_like(state)
        jump = _JUMP * (at.sum() + inserted.sum()) + _ENTER * outside
        new[:m] = jump / m
        new[1:m] += (stay * at[:-1] + (1 - _JUMP) * inserted[:-1]) * inside[1:]
        new[2:m] += _SKIP * at[:-2] * two_inside[2:]
        new[m:-1] = _INSERT * at
        new[-1] = _LEAVE * at.sum() + (1 - _ENTER) * outside
        new[-1] += stay * at[np.append(places.first[1:], True)].sum()
        return new

    def backward(state: FloatArray) -> FloatArray:
        at, inserted, outside = state[:m], state[m:-1], state[-1]
        mean = at.sum() / m
        new = np.empty_like(state)
        new[:m] = _JUMP * mean + _INSERT * inserted + _LEAVE * outside
        new[: m - 1] += stay * (at * inside)[1:]
        new[: m - 2] += _SKIP * (at * two_inside)[2:]
        new[:m][np.append(places.first[1:], True)] += stay * outside
        new[m:-1] = _JUMP * mean
        new[m : 2 * m - 1] += (1 - _JUMP) * (at * inside)[1:]
        new[-1] = _ENTER * mean + (1 - _ENTER) * outside
        return new

    def emitted(i: int) -> FloatArray:
        return np.concatenate([emission[i], np.ones(m + 1)])

    state = np.concatenate([np.full(m, (1 - _OUTSIDE) / m), np.zeros(m), [_OUTSIDE]]) * emitted(0)
    evidence = 0.0
    states = np.empty((n, 2 * m + 1))
    for i in range(n):
        if i:
            state = forward(state) * emitted(i)
        evidence += float(np.log(state.sum()))
        state = state / state.sum()
        states[i] = state
    posterior = np.empty((n, m))
    state = np.ones(2 * m + 1)
    for i in range(n - 1, -1, -1):
        joint = states[i] * state
        posterior[i] = joint[:m] / joint.sum()
        state = backward(state * emitted(i))
        state /= state.sum()
    return Alignment(posterior, evidence)


def different(sequences: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the different sequences and how often each occurs; of nearly equal ones the longest stands for all."""
    unique: list[str] = []
    counts: list[int] = []
    for sequence in sorted(sequences, key=len, reverse=True):
        for i, other in enumerate(unique):
            if sequence in other or gemmi.align_string_sequences(list(other), list(sequence), []).match_count >= (
                _SAME * len(sequence)
            ):
                counts[i] += 1
                break
        else:
            unique.append(sequence)
            counts.append(1)
    order = sorted(range(len(unique)), key=lambda i: list(sequences).index(unique[i]))
    return tuple(unique[i] for i in order), tuple(counts[i] for i in order)
