"""How alike residue classes are: a published matrix, and the confusions of the thesis."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from edseg_engine.labels import LABELS, N_LABELS

#: Confusions of 3D FC-DenseNet at 4 Å in hundredths, true classes in rows (thesis, figure 5.8 a; the order is ours).
THESIS = np.array(
    [
        [29, 11, 4, 5, 3, 10, 1, 0, 1, 3, 4, 3, 0, 7, 10, 0, 0],
        [10, 68, 0, 0, 0, 2, 0, 0, 0, 3, 2, 0, 0, 1, 6, 0, 0],
        [0, 0, 48, 21, 0, 17, 0, 0, 0, 5, 0, 0, 0, 0, 1, 2, 0],
        [0, 1, 9, 71, 0, 1, 0, 0, 0, 7, 2, 0, 0, 2, 1, 1, 0],
        [6, 3, 0, 0, 62, 10, 0, 0, 0, 2, 1, 0, 0, 0, 8, 0, 0],
        [4, 2, 9, 1, 5, 53, 0, 0, 0, 5, 0, 0, 0, 1, 11, 1, 0],
        [0, 1, 0, 0, 0, 0, 64, 0, 9, 1, 2, 0, 9, 0, 0, 0, 6],
        [1, 2, 0, 0, 1, 1, 0, 85, 1, 1, 0, 0, 0, 0, 1, 0, 0],
        [1, 2, 0, 0, 0, 0, 6, 2, 69, 2, 2, 3, 6, 0, 0, 0, 0],
        [0, 2, 1, 2, 0, 4, 0, 0, 0, 62, 12, 0, 3, 1, 3, 1, 0],
        [1, 1, 0, 0, 0, 0, 2, 0, 1, 9, 62, 6, 3, 3, 1, 0, 4],
        [1, 2, 0, 0, 0, 2, 0, 0, 2, 3, 13, 67, 0, 2, 2, 0, 0],
        [2, 5, 0, 0, 1, 2, 12, 1, 9, 15, 11, 1, 27, 0, 3, 1, 2],
        [1, 2, 0, 1, 0, 2, 0, 0, 0, 3, 10, 3, 0, 69, 3, 0, 0],
        [9, 10, 1, 1, 3, 16, 0, 0, 0, 9, 2, 1, 0, 2, 39, 1, 0],
        [3, 5, 2, 4, 1, 6, 0, 0, 0, 13, 2, 0, 1, 0, 7, 46, 1],
        [1, 1, 0, 1, 0, 0, 17, 0, 1, 2, 23, 2, 2, 0, 0, 0, 43],
    ]
)


def blosum62() -> NDArray[np.float64]:
    """Return the similarity (17, 17) of classes: the mean over their residues in BLOSUM62.

    The matrix (Henikoff & Henikoff 1992, doi:10.1073/pnas.89.22.10915) is the one that gemmi aligns sequences with. It
    stands in for the one of the program O, which the thesis compares with and which was not at hand. It scores what
    evolution exchanges, while O's is of what side chains look like.
    """
    scoring = gemmi.AlignmentScoring("b")

    def similarity(one: str, other: str) -> float:
        pairs = [(a, b) for a in one.split("/") for b in other.split("/")]
        return float(np.mean([gemmi.align_string_sequences([a], [b], [], scoring).score for a, b in pairs]))

    return np.array([[similarity(one, other) for other in LABELS] for one in LABELS])


def shares(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Return a confusion (17, 17) as shares of the true classes; zero where there is none."""
    return np.asarray(confusion / np.maximum(confusion.sum(1, keepdims=True), 1), np.float64)


def rank_correlation(one: NDArray[np.number], other: NDArray[np.number]) -> tuple[float, float]:
    """Return Spearman's rank correlation of two matrices over pairs of different classes, and its p-value.

    The direction of a confusion does not count: it is averaged.
    """
    pairs = np.triu_indices(N_LABELS, 1)
    result = spearmanr(*(((matrix + matrix.T) / 2)[pairs] for matrix in (one, other)))
    return float(result.statistic), float(result.pvalue)
