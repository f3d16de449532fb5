"""A plain reading of the thesis's inference, to measure against: nothing here is used by the product.

Windows of 48 voxels at a stride of twice the frame (5.3.2), every window that holds density, single precision; the
centres are stitched, averaged where they overlap; K-Means from random starts (6.4.4) over the votes of the region.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from sklearn.cluster import KMeans

from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.inference.volume import Volume
from edseg_engine.labels import BACKGROUND, N_LABELS
from edseg_engine.networks.network import OFFSET_SCALE, Network
from edseg_engine.residues.instances import Instances

WINDOW, FRAME = 48, 8
_BATCH = 4


@torch.inference_mode()
def predict_windows(net: Network, volume: Volume) -> VoxelPrediction:
    """Run the network as the thesis does; returns the same record as the product's `predict_voxels`."""
    shape = volume.values.shape
    padded = np.pad(volume.values, [(FRAME, FRAME + WINDOW)] * 3)
    sums = np.zeros((N_LABELS + 3, *padded.shape), np.float32)
    counts = np.zeros(padded.shape, np.float32)
    centre = slice(FRAME, WINDOW - FRAME)
    occupied = np.pad(volume.occupied, [(FRAME, FRAME + WINDOW)] * 3)
    starts = [
        corner
        for corner in itertools.product(*(range(0, n + FRAME, 2 * FRAME) for n in shape))
        if occupied[tuple(slice(c + FRAME, c + WINDOW - FRAME) for c in corner)].any()
    ]
    for first in range(0, len(starts), _BATCH):
        batch = starts[first : first + _BATCH]
        windows = np.stack([padded[tuple(slice(c, c + WINDOW) for c in corner)] for corner in batch])
        scores, offsets = net(torch.from_numpy(windows)[:, None])
        both = torch.cat([scores.softmax(1)[:, :BACKGROUND], offsets[:, :3] * OFFSET_SCALE], 1)[
            :, :, centre, centre, centre
        ]
        for corner, values in zip(batch, both.numpy(), strict=True):
            i, j, k = (slice(c + FRAME, c + WINDOW - FRAME) for c in corner)
            sums[:, i, j, k] += values
            counts[i, j, k] += 1
    inner = tuple(slice(FRAME, FRAME + n) for n in shape)
    index = np.flatnonzero(volume.occupied.reshape(-1))
    sums[:, *inner] /= np.maximum(counts[inner], 1)
    mean = sums[:, *inner].reshape(N_LABELS + 3, -1)[:, index].T
    positions = volume.positions(index).astype(np.float32)
    return VoxelPrediction(
        index,
        positions,
        (positions + mean[:, N_LABELS:]).astype(np.float32),
        mean[:, :N_LABELS].astype(np.float16),
        volume.values.reshape(-1)[index],
    )


def cluster_from_random_starts(prediction: VoxelPrediction, n_residues: int, starts: int = 10) -> Instances:
    """K-Means over the votes of voxels that are more residue than background; the best of `starts` random starts."""
    chosen = np.flatnonzero(prediction.weights > 0.5)
    votes = prediction.votes[chosen]
    k = min(n_residues, len(votes))
    fit = KMeans(k, init="random", n_init=starts, random_state=0).fit(votes)
    members = np.full(len(prediction.votes), -1, np.intp)
    members[chosen] = fit.labels_
    distance = np.linalg.norm(votes - fit.cluster_centers_[fit.labels_], axis=1)
    votes_of = np.bincount(fit.labels_, prediction.weights[chosen], minlength=k).astype(np.float64)
    squares = np.bincount(fit.labels_, distance**2, minlength=k)
    spread = np.sqrt(squares / np.maximum(np.bincount(fit.labels_, minlength=k), 1))
    return Instances(fit.cluster_centers_.astype(np.float64), members, votes_of, spread)
