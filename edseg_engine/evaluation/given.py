"""Name residues where their model has them, by the voxels around its atoms.

This is how the thesis scores 3D FC-DenseNet (5.3.2), and MT-StackNet beside it ("GT instances", tables 6.2 and 6.3).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.evaluation.evaluate import AS_IS, Protocol, run_network, true_voxels
from edseg_engine.evaluation.matching import Matching
from edseg_engine.evaluation.metrics import ResidueCounts, VoxelCounts, count_residues, count_voxels
from edseg_engine.networks.weights import Weights
from edseg_engine.residues.classify import summed_probabilities
from edseg_engine.residues.known import KnownResidues
from edseg_engine.resolution import range_of_resolution

#: Å around an atom whose voxels speak for its residue, for maps of each range (thesis 5.3.2).
RADII = {"high": 3.0, "medium": 2.0, "low": 1.0}


@dataclass(frozen=True)
class GivenScore:
    """What one map gave; residues without a voxel that has density count as wrong."""

    name: str
    d_min: float
    residues: ResidueCounts
    voxels: VoxelCounts
    seconds: float


def voxels_around(
    residues: KnownResidues, symmetry: Symmetry, positions: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of `positions` (m, 3) lie within `radius` Å of an atom of which residue, symmetry copies included.

    Returns
    -------
    residue, voxel
        shape (n,) each: pairs without repetition. Spheres overlap, so that a voxel may be of several residues.
    """
    nothing = np.zeros(0, np.intp)
    if not len(positions):
        return nothing, nothing
    images = symmetry.images_in_box(residues.atoms, positions.min(0) - radius, positions.max(0) + radius)
    owner = residues.residue_of_atom[images.index]
    atoms = images.positions[owner >= 0]
    if not len(atoms):
        return nothing, nothing
    near = cKDTree(atoms).sparse_distance_matrix(cKDTree(positions), radius, output_type="ndarray")
    pairs = np.unique(owner[owner >= 0][near["i"]] * len(positions) + near["j"])
    return pairs // len(positions), pairs % len(positions)


def score_given(known: KnownMap, weights: Weights, device: torch.device, protocol: Protocol = AS_IS) -> GivenScore:
    """Run one map and name its residues by the mean over the voxels around their atoms (thesis 5.3.2)."""
    start = time.perf_counter()
    prediction, labels = run_network(known, weights, device, protocol), known.residues.labels
    voxels, d_min = prediction.voxels, float(known.density.d_min or 0.0)
    radius = RADII[range_of_resolution(d_min).name]
    positions = voxels.positions.astype(np.float64)
    residue, voxel = voxels_around(known.residues, prediction.region.symmetry, positions, radius)
    seen = np.unique(residue)
    probabilities = summed_probabilities(residue, voxels.probabilities[voxel], len(labels))[seen]
    matching = Matching(np.arange(len(seen)), seen, np.zeros(len(seen)))
    seconds = time.perf_counter() - start
    _, truth, _ = true_voxels(known.residues, prediction, weights.card.range.label_radius)
    return GivenScore(
        known.name,
        d_min,
        count_residues(probabilities, labels, matching),
        count_voxels(voxels.probabilities, truth),
        seconds,
    )
