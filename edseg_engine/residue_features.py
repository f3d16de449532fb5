"""What the voxels of a residue say together: the features that its class is read from.

The mean of its voxels' probabilities (thesis 3.3) treats all voxels alike. But the voxels far from the centroid are
those of side chain and backbone ends, the certain ones know more than the uncertain, and size and shape tell small
residues from large. All features are the same however the residue is turned.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from edseg_engine.instances import Instances
from edseg_engine.predict import VoxelPrediction
from edseg_engine.residues import N_LABELS

#: Shells of the voxels' distance from the centroid, as they vote, in Å.
SHELLS = (0.0, 1.0, 2.0, 3.0, 4.5, np.inf)
#: Three means of all voxels, a mean of each shell and its size, and nine numbers of size and shape.
N_FEATURES = 3 * N_LABELS + (len(SHELLS) - 1) * (N_LABELS + 1) + 9

_MANY = 100.0  # voxels: brings their numbers to the order of one


def residue_features(instances: Instances, prediction: VoxelPrediction) -> NDArray[np.float32]:
    """Return the features of k instances, shape (k, N_FEATURES)."""
    k = len(instances)
    inside = np.flatnonzero(instances.members >= 0)
    members = instances.members[inside]
    p = prediction.probabilities[inside].astype(np.float32)
    offsets = (prediction.votes[inside] - prediction.positions[inside]).astype(np.float32)
    distance = np.linalg.norm(offsets, axis=1)
    weight = p.sum(1)
    relative = p / np.maximum(weight, 1e-3)[:, None]
    logs = np.log(relative + 1e-9)
    certainty = np.maximum(np.log(N_LABELS) + (relative * logs).sum(1), 0.01)

    def summed(values: NDArray[np.floating], chosen: NDArray[np.bool_] | slice = slice(None)) -> NDArray[np.floating]:
        rows = members[chosen]
        groups = csr_array((np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))), shape=(k, len(rows)))
        return np.asarray(groups @ values[chosen])

    def share(sums: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.log(sums / (sums.sum(1, keepdims=True) + 1e-6) + 1e-3)

    n = np.maximum(summed(np.ones((len(members), 1), np.float32)), 1e-6)
    mean_log = summed(np.log(relative + 1e-2) * weight[:, None]) / np.maximum(summed(weight[:, None]), 1e-3)
    features: list[NDArray[np.floating]] = [share(summed(p)), share(summed(p * certainty[:, None] ** 2)), mean_log]
    for low, high in pairwise(SHELLS):
        shell = (distance >= low) & (distance < high)
        counts = summed(np.ones((len(members), 1), np.float32), shell)
        features += [summed(p, shell) / n, counts / _MANY]
    center = summed(offsets) / n
    second = summed((offsets[:, :, None] * offsets[:, None, :]).reshape(-1, 9)) / n
    covariance = second.reshape(k, 3, 3) - center[:, :, None] * center[:, None, :]
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0)) if k else np.zeros((0, 3))
    typical = max(float(np.median(instances.votes)), 1e-6) if k else 1.0
    features += [
        n / _MANY,
        (instances.votes / typical)[:, None],
        instances.spread[:, None],
        summed(prediction.density[inside, None]) / n,
        summed(distance[:, None]) / n,
        axes,
        np.linalg.norm(center, axis=1)[:, None],
    ]
    return np.concatenate(features, axis=1).astype(np.float32)
