"""Is a protein made like that? Labels that a poor map has misled betray themselves by their composition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edseg_engine.labels import LABELS, N_LABELS

#: Share of each label, in the order of `LABELS`, among 500,000 residues of the training structures
#: (``tools/protein_shares.py``).
SHARES = (
    0.080, 0.071, 0.059, 0.094, 0.045, 0.126, 0.042, 0.014, 0.036,
    0.101, 0.105, 0.050, 0.023, 0.058, 0.061, 0.013, 0.022,
)  # fmt: skip
#: Of 1,195 training structures none with `FEWEST` residues is farther (nats) from these shares; one lies at 0.68.
FARTHEST = 0.70
FEWEST = 30


def distance_from_proteins(labels: NDArray[np.intp]) -> float:
    """Return how far the composition of `labels` (k,) is from that of proteins: their relative entropy in nats, less
    what so few residues have by chance (Miller, 1955)."""
    share = np.bincount(labels, minlength=N_LABELS) / max(1, len(labels))
    there = share > 0
    entropy = float((share[there] * np.log(share[there] / np.array(SHARES)[there])).sum())
    return entropy - (N_LABELS - 1) / (2 * max(1, len(labels)))


def is_unlike_proteins(labels: NDArray[np.intp]) -> bool:
    """Return whether no protein is likely to have the labels (k,)."""
    return len(labels) >= FEWEST and distance_from_proteins(labels) > FARTHEST


def highest_confidence(labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the confidence (k,) that the rank-1 labels (k,) may have at most.

    Where no protein is likely to have them, no larger part of those of one kind can be right than a protein has of it.
    """
    if not is_unlike_proteins(labels):
        return np.ones(len(labels))
    counts = np.bincount(labels, minlength=N_LABELS)
    return np.minimum(1.0, np.array(SHARES)[labels] * len(labels) / counts[labels])


def composition_warning(labels: NDArray[np.intp]) -> str | None:
    """Return a sentence if no protein is likely to have the rank-1 labels (k,), else None."""
    if not is_unlike_proteins(labels):
        return None
    counts = np.bincount(labels, minlength=N_LABELS)
    first, second = (int(i) for i in np.argsort(counts)[:-3:-1])
    return (
        f"{(counts[first] + counts[second]) / len(labels):.0%} of the residues are labelled {LABELS[first]} or "
        f"{LABELS[second]}, unlike any known protein: the map hardly shows side chains, and few labels can be right."
    )
