"""What the network of a resolution range and that of the backbone say together."""

from __future__ import annotations

import numpy as np
import pytest

from edseg_engine.inference.predict import VoxelPrediction, mixed


def _says(largest: float, vote: float) -> VoxelPrediction:
    """Five voxels, four of which belong to a residue, whose first class has the probability `largest`."""
    probabilities = np.zeros((5, 17), np.float16)
    probabilities[:4, 0], probabilities[:4, 1:] = largest, (1 - largest) / 16
    xyz = np.zeros((5, 3), np.float32)
    atoms = np.full((5, 7, 3), vote, np.float16)
    return VoxelPrediction(np.arange(5), xyz, xyz + np.float32(vote), probabilities, np.ones(5, np.float32), atoms)


def test_sureness_is_that_of_the_voxels_of_residues() -> None:
    assert _says(0.5, 0.0).sureness == pytest.approx(0.5, abs=1e-3)


def test_a_map_without_residues_has_no_doubts() -> None:
    nothing = _says(0.5, 0.0)
    nothing.probabilities[:] = 0
    assert nothing.sureness == 1


@pytest.mark.parametrize(
    ("sureness", "of_classes", "of_votes"), [(0.95, 0.4, 0.4), (0.7, 0.4, 0.4), (0.525, 0.5, 0.7), (0.3, 0.6, 1.0)]
)
def test_the_network_of_the_backbone_counts_more_in_maps_that_the_other_reads_less_surely(
    sureness: float, of_classes: float, of_votes: float
) -> None:
    together = mixed(_says(sureness, 0.0), _says(1.0, 10.0), names=True)
    assert together.probabilities[0, 0] == pytest.approx(sureness + of_classes * (1 - sureness), abs=2e-3)
    assert together.votes[0] == pytest.approx(10 * of_votes, abs=0.02)
    assert together.weights[4] == 0
    assert together.atoms is not None
    assert (together.atoms == 10).all()


def test_a_network_that_does_not_name_gives_its_votes_for_atoms_alone() -> None:
    first = _says(0.3, 0.0)
    together = mixed(first, _says(1.0, 10.0), names=False)
    assert (together.probabilities == first.probabilities).all()
    assert (together.votes == first.votes).all()
    assert together.atoms is not None
    assert (together.atoms == 10).all()
