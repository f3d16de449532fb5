"""The figures of the thesis's table 6.2, for one map and for a set of maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edseg_engine.evaluation.matching import Matching
from edseg_engine.labels import N_CLASSES, N_LABELS

_BINS = 10
_DRAWS = 1000


@dataclass(frozen=True)
class ResidueCounts:
    """Hits and misses, class by class, which add up over maps.

    Attributes
    ----------
    true
        shape (17,): residues of the model.
    confusion
        shape (17, 17): those with a found residue within 3 Å, by their class and its rank-1 class.
    rank3
        shape (17,): those whose class is among the first three of the found residue. Missed ones are wrong.
    found
        shape (17,): residues found, by their rank-1 class.
    """

    true: NDArray[np.intp]
    confusion: NDArray[np.intp]
    rank3: NDArray[np.intp]
    found: NDArray[np.intp]

    @property
    def matched(self) -> NDArray[np.intp]:
        """Residues of the model with a found residue within 3 Å, shape (17,)."""
        return np.asarray(self.confusion.sum(1))

    @property
    def rank1(self) -> NDArray[np.intp]:
        """Residues of the model whose class is the first of the found residue, shape (17,)."""
        return np.diag(self.confusion)

    def figures(self) -> dict[str, float]:
        """Return the fractions over all residues.

        `rank1` and `rank3` count missed residues as wrong; `recall` and `precision` are of location alone (within 3 Å);
        `label_recall` and `label_precision` are means over classes and need the label right as well (thesis 6.4.5).
        """
        n_true, n_found = max(1, self.true.sum()), max(1, self.found.sum())
        present, named = self.true > 0, self.found > 0
        return {
            "rank1": float(self.rank1.sum() / n_true),
            "rank3": float(self.rank3.sum() / n_true),
            "recall": float(self.matched.sum() / n_true),
            "precision": float(self.matched.sum() / n_found),
            "label_recall": float((self.rank1[present] / self.true[present]).mean()) if present.any() else 0.0,
            "label_precision": float((self.rank1[named] / self.found[named]).mean()) if named.any() else 0.0,
            "found_over_true": float(self.found.sum() / n_true),
        }


def count_residues(probabilities: NDArray[np.float64], labels: NDArray[np.intp], matching: Matching) -> ResidueCounts:
    """Count hits of found residues with probabilities (k, 17) against true ones with `labels` (n,)."""

    def by_class(chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.bincount(chosen, minlength=N_LABELS)

    order = np.argsort(-probabilities, axis=1)[:, :3] if len(probabilities) else np.zeros((0, 3), np.intp)
    truth = labels[matching.true]
    best = order[matching.found]
    return ResidueCounts(
        by_class(labels),
        np.bincount(truth * N_LABELS + best[:, 0], minlength=N_LABELS**2).reshape(N_LABELS, N_LABELS),
        by_class(truth[(best == truth[:, None]).any(1)]),
        by_class(order[:, 0]),
    )


def count_owners(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp], owner: NDArray[np.intp]
) -> ResidueCounts:
    """Count hits of true residues (n,) that were named by their own voxels, with probabilities (n, 17).

    Parameters
    ----------
    owner
        shape (m,): residue of each voxel, negative for none. A residue without voxels is missed.
    """
    seen = np.flatnonzero(np.bincount(owner[owner >= 0], minlength=len(labels)))
    return count_residues(probabilities[seen], labels, Matching(np.arange(len(seen)), seen, np.zeros(len(seen))))


@dataclass(frozen=True)
class VoxelCounts:
    """Confusion of voxel classes: counts (18, 18) by true and predicted class."""

    confusion: NDArray[np.intp]

    def mean_iou(self) -> float:
        """Return the semantic IoU, mean over the residue classes that occur (thesis 5.3.2)."""
        hits = np.diag(self.confusion).astype(float)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        used = np.flatnonzero(union[:N_LABELS] > 0)
        return float((hits[used] / union[used]).mean()) if len(used) else 0.0

    def rates(self) -> dict[str, float]:
        """Return the other figures of the thesis's table 5.3, means over the residue classes that occur (5.3.2).

        A voxel that is named rightly is a true positive of its class and a true negative of every other one.
        """
        right, true, predicted = np.diag(self.confusion), self.confusion.sum(1), self.confusion.sum(0)
        used = np.flatnonzero((true + predicted)[:N_LABELS] > 0)
        hits, others = right[used].astype(float), right.sum() - right[used]
        rates = {
            "true_positive": hits / np.maximum(true[used], 1),
            "true_negative": others / np.maximum(others + predicted[used] - hits, 1),
            "f1": 2 * hits / (true[used] + predicted[used]),
        }
        return {key: float(rate.mean()) if len(used) else 0.0 for key, rate in rates.items()}


def count_voxels(probabilities: NDArray[np.floating], truth: NDArray[np.intp]) -> VoxelCounts:
    """Count voxels: probabilities (m, 17) against true classes (m,), background 17, negative ones left out."""
    p = probabilities.astype(np.float32)
    predicted = np.concatenate([p, 1 - p.sum(1, keepdims=True)], 1).argmax(1)
    used = truth >= 0
    flat = truth[used] * N_CLASSES + predicted[used]
    return VoxelCounts(np.bincount(flat, minlength=N_CLASSES**2).reshape(N_CLASSES, N_CLASSES))


def instance_dice(members: NDArray[np.intp], owner: NDArray[np.intp], matching: Matching, n_true: int) -> float:
    """Return the mean Dice coefficient of true instances with their found ones; missed ones count zero (thesis 6.4.5).

    Parameters
    ----------
    members, owner
        shape (m,): found and true instance of each voxel, negative for none.
    """
    if not n_true:
        return 0.0
    k = int(members.max(initial=-1)) + 1
    size_found = np.bincount(members[members >= 0], minlength=k)
    size_true = np.bincount(owner[owner >= 0], minlength=n_true)
    both = (members >= 0) & (owner >= 0)
    pairs, overlap = np.unique(members[both] * n_true + owner[both], return_counts=True)
    shared: dict[int, int] = dict(zip(pairs.tolist(), overlap.tolist(), strict=True))
    dice = [
        2 * shared.get(int(f) * n_true + int(t), 0) / max(1, size_found[f] + size_true[t])
        for f, t in zip(matching.found, matching.true, strict=True)
    ]
    return float(np.sum(dice) / n_true)


def total(counts: Sequence[ResidueCounts]) -> ResidueCounts:
    """Return the sum over maps."""
    return ResidueCounts(*(np.sum([getattr(c, f.name) for c in counts], axis=0) for f in fields(ResidueCounts)))


def total_voxels(counts: Sequence[VoxelCounts]) -> VoxelCounts:
    """Return the sum over maps."""
    return VoxelCounts(np.sum([c.confusion for c in counts], axis=0))


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error (Guo, 2017): the gap of confidence and accuracy over ten equal bins."""
    if not len(confidence):
        return 0.0
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def chance_calibration_error(confidence: NDArray[np.float64]) -> float:
    """Return the mean expected calibration error that confidences (n,) have by chance if each is exactly right.

    The fewer there are, the larger it is: what an error means can be told only beside it.
    """
    rng = np.random.default_rng(0)
    draws = (rng.random(len(confidence)) < confidence for _ in range(_DRAWS))
    return float(np.mean([calibration_error(confidence, right) for right in draws]))


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Return (number, mean confidence, fraction right) of each of ten equal bins that is not empty."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        (int((bins == b).sum()), float(confidence[bins == b].mean()), float(right[bins == b].mean()))
        for b in range(_BINS)
        if (bins == b).any()
    ]
