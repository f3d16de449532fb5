"""Votes for backbone atoms: exact in every symmetry copy, unmoved by outliers, and turning with the density."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import torch

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.inference.orientations import orientations
from edseg_engine.inference.predict import VoxelPrediction, predict_voxels
from edseg_engine.inference.volume import Volume
from edseg_engine.labels import ATOMS
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.progress import ignore_progress
from edseg_engine.residues.backbone import vote_backbone
from edseg_engine.residues.instances import find_instances
from edseg_engine.residues.known import KnownResidues
from edseg_engine.resolution import RANGES


def scattered_votes(residues: KnownResidues, symmetry: Symmetry, rng: np.random.Generator) -> VoxelPrediction:
    """Voxels around each residue that vote for it, each moved to a random symmetry copy together with its votes."""
    k, per_residue = len(residues.labels), 30
    owner = np.repeat(np.arange(k), per_residue)
    centroids, points = residues.centroids[owner], np.nan_to_num(residues.points[owner, 1:], nan=5.0)
    positions = centroids + rng.normal(0, 1.5, centroids.shape)
    operation = rng.integers(len(symmetry), size=len(owner))
    shift = np.zeros((len(owner), 3), np.intp)
    moved, votes = symmetry.apply(positions, operation, shift), symmetry.apply(centroids, operation, shift)
    atoms = np.stack([symmetry.apply(points[:, a], operation, shift) for a in range(points.shape[1])], 1)
    # One vote in six points elsewhere.
    stray = rng.random(len(owner)) < 1 / 6
    atoms[stray] += rng.normal(0, 4.0, atoms[stray].shape)
    probabilities = np.full((len(owner), 17), 1 / 17, np.float16)
    xyz = moved.astype(np.float32)
    offsets = (atoms - moved[:, None]).astype(np.float16)
    density = np.ones(len(owner), np.float32)
    return VoxelPrediction(np.arange(len(owner)), xyz, votes.astype(np.float32), probabilities, density, offsets)


def test_votes_from_all_copies_give_the_atoms_of_one(
    crystal_model: gemmi.Structure, crystal_residues: KnownResidues
) -> None:
    symmetry = Symmetry(crystal_model.cell, crystal_model.find_spacegroup())
    prediction = scattered_votes(crystal_residues, symmetry, np.random.default_rng(0))
    instances = find_instances(prediction.votes, prediction.weights, symmetry, len(crystal_residues.labels))
    backbone = vote_backbone(instances, prediction, symmetry)
    assert backbone is not None
    assert backbone.atoms.shape == (len(instances), len(ATOMS), 3)
    true = crystal_residues.points
    nearest = symmetry.images_in_box(true[:, 0], instances.centroids.min(0) - 3, instances.centroids.max(0) + 3)
    for centroid, atoms in zip(instances.centroids, backbone.atoms, strict=True):
        image = int(np.argmin(np.linalg.norm(nearest.positions - centroid, axis=1)))
        own = true[nearest.index[image], 1:]
        copies = np.full(len(own), nearest.operation[image]), np.tile(nearest.shift[image], (len(own), 1))
        placed = symmetry.apply(own, *copies)
        np.testing.assert_allclose(atoms[:5], placed[:5], atol=0.15)


def test_networks_without_votes_for_atoms_give_no_backbone(crystal_residues: KnownResidues) -> None:
    symmetry = Symmetry(gemmi.UnitCell(50, 50, 50, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    nothing = VoxelPrediction(
        np.zeros(0, np.intp),
        np.zeros((0, 3), np.float32),
        np.zeros((0, 3), np.float32),
        np.zeros((0, 17), np.float16),
        np.zeros(0, np.float32),
    )
    instances = find_instances(nothing.votes, nothing.weights, symmetry)
    assert vote_backbone(instances, nothing, symmetry) is None


def test_votes_for_atoms_turn_with_the_density() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = StackNet(StackNetConfig((4, 6), (1, 1), (0, 1), 0.0)).eval()
    values = rng.random((14, 14, 14)).astype(np.float32) + 0.5
    turn = orientations(24)[7]
    turned = turn.turn(torch.from_numpy(values)).numpy()
    answers, narrow = [], replace(RANGES[0], frame=2.0)
    for density in (values, turned):
        volume = Volume(density, 1.0, np.zeros(3), np.ones(density.shape, bool))
        answers.append(predict_voxels(net, volume, narrow, torch.device("cpu"), ignore_progress, 24))
    first, second = answers
    assert first.atoms is not None
    assert second.atoms is not None
    field = torch.from_numpy(first.atoms.astype(np.float32).reshape(14, 14, 14, -1, 3)).permute(3, 4, 0, 1, 2)
    expected = turn.turn_vectors(field).permute(2, 3, 4, 0, 1).reshape(-1, len(ATOMS), 3)
    assert np.abs(first.atoms).mean() > 0.005
    np.testing.assert_allclose(second.atoms, expected.numpy(), atol=1e-3)
