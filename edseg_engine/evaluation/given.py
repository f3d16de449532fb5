"""Name residues where their model has them, by the voxels around its atoms.

This is how the thesis scores 3D FC-DenseNet (5.3.2), and MT-StackNet beside it ("GT instances", tables 6.2 and 6.3).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.evaluation.evaluate import AS_IS, Protocol, run_network, true_voxels
from edseg_engine.evaluation.metrics import ResidueCounts, VoxelCounts, count_owners, count_voxels
from edseg_engine.networks.weights import Weights
from edseg_engine.residues.classify import summed_probabilities
from edseg_engine.resolution import range_of_resolution

#: Å around the atoms of a residue whose voxels speak for it, in maps of each range (thesis 5.3.2).
RADII = {"high": 3.0, "medium": 2.0, "low": 1.0}


@dataclass(frozen=True)
class GivenScore:
    """What one map gave; residues without a voxel that has density count as missed."""

    name: str
    d_min: float
    residues: ResidueCounts
    voxels: VoxelCounts
    seconds: float


def score_given(known: KnownMap, weights: Weights, device: torch.device, protocol: Protocol = AS_IS) -> GivenScore:
    """Run one map and name its residues by the mean over the voxels in the spheres around their atoms (thesis 5.3.2).

    Where the spheres of two residues overlap, the nearest atom decides, as in the thesis's annotation (4.4).
    """
    start = time.perf_counter()
    prediction, labels = run_network(known, weights, device, protocol), known.residues.labels
    probabilities, d_min = prediction.voxels.probabilities, float(known.density.d_min or 0.0)
    owner, _, _ = true_voxels(known.residues, prediction, RADII[range_of_resolution(d_min).name])
    named = summed_probabilities(np.maximum(owner, -1), probabilities, len(labels))
    seconds = time.perf_counter() - start
    _, truth, _ = true_voxels(known.residues, prediction, weights.card.range.label_radius)
    return GivenScore(
        known.name, d_min, count_owners(named, labels, owner), count_voxels(probabilities, truth), seconds
    )
