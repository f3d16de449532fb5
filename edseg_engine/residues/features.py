"""What the voxels of a residue say together: the features that its class is read from.

The mean of its voxels' probabilities (thesis 3.3) treats all voxels alike. But the voxels far from the centroid are
those of side chain and backbone ends, the certain ones know more than the uncertain, and size and shape distinguish
small residues from large ones. All features are the same however the residue is turned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.labels import N_LABELS
from edseg_engine.residues.instances import Instances

#: Shells of the voxels' distance from the centroid, as they vote, in Å.
SHELLS = (0.0, 1.0, 2.0, 3.0, 4.5, np.inf)
#: Three means of all voxels, a mean of each shell and its size, and nine numbers of size and shape.
N_FEATURES = 3 * N_LABELS + (len(SHELLS) - 1) * (N_LABELS + 1) + 9

_MANY = 100.0  # voxels: brings their numbers to the order of one
_CHUNK = 250_000  # voxels that are pooled at a time


def _summed(values: NDArray[np.floating], group: NDArray[np.intp], k: int) -> NDArray[np.float32]:
    """Return the sums (k, c) of the rows of `values` (n, c) that belong to each group (n,)."""
    groups = csr_array((np.ones(len(group), np.float32), (group, np.arange(len(group)))), shape=(k, len(group)))
    return np.asarray(groups @ values, np.float32)


def residue_features(instances: Instances, prediction: VoxelPrediction) -> NDArray[np.float32]:
    """Return the features of k instances, shape (k, N_FEATURES)."""
    k, n_shells = len(instances), len(SHELLS) - 1
    inside = np.flatnonzero(instances.members >= 0)
    by_shell = np.zeros((k * n_shells, N_LABELS + 1), np.float32)
    by_residue = np.zeros((k, 2 * N_LABELS + 15), np.float32)
    for start in range(0, len(inside), _CHUNK):
        chunk = inside[start : start + _CHUNK]
        members = instances.members[chunk]
        p = prediction.probabilities[chunk].astype(np.float32)
        offsets = (prediction.votes[chunk] - prediction.positions[chunk]).astype(np.float32)
        distance = np.linalg.norm(offsets, axis=1)
        shell = np.searchsorted(SHELLS, distance, side="right") - 1
        one = np.ones((len(chunk), 1), np.float32)
        by_shell += _summed(np.hstack([p, one]), members * n_shells + shell, k * n_shells)
        weight = p.sum(1, keepdims=True)
        relative = p / np.maximum(weight, 1e-3)
        entropy = -(relative * np.log(relative + 1e-9)).sum(1, keepdims=True)
        certainty = np.maximum(np.log(N_LABELS) - entropy, 0.01)
        outer = (offsets[:, :, None] * offsets[:, None, :]).reshape(-1, 9)
        columns = [p * certainty**2, np.log(relative + 1e-2) * weight, weight]
        columns += [offsets, outer, prediction.density[chunk, None], distance[:, None]]
        by_residue += _summed(np.hstack(columns), members, k)
    shells = by_shell.reshape(k, n_shells, N_LABELS + 1) / prediction.views
    by_residue /= prediction.views
    total = shells.sum(1)
    n = np.maximum(total[:, N_LABELS:], 1e-6)
    in_shells = np.concatenate([shells[:, :, :N_LABELS] / n[:, :, None], shells[:, :, N_LABELS:] / _MANY], axis=2)
    certain, logs, rest = np.split(by_residue, [N_LABELS, 2 * N_LABELS], axis=1)
    weight, center, second = np.maximum(rest[:, :1], 1e-3), rest[:, 1:4] / n, rest[:, 4:13] / n
    covariance = second.reshape(k, 3, 3) - center[:, :, None] * center[:, None, :]
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0)) if k else np.zeros((0, 3))
    typical = max(float(np.median(instances.votes)), 1e-6) if k else 1.0
    features = [
        _share(total[:, :N_LABELS]),
        _share(certain),
        logs / weight,
        in_shells.reshape(k, n_shells * (N_LABELS + 1)),
        n / _MANY,
        (instances.votes / typical)[:, None],
        instances.spread[:, None],
        rest[:, 13:] / n,
        axes,
        np.linalg.norm(center, axis=1)[:, None],
    ]
    return np.concatenate(features, axis=1).astype(np.float32)


def _share(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.log(sums / (sums.sum(1, keepdims=True) + 1e-6) + 1e-3))
