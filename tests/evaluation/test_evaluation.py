"""Matching and figures: every number of the tables, on cases that can be counted by hand."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
import torch

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.errors import OptionError
from edseg_engine.evaluation.atoms import atom_errors, atom_figures
from edseg_engine.evaluation.evaluate import CULLING, Protocol, culled, score_map
from edseg_engine.evaluation.matching import Matching, match
from edseg_engine.evaluation.metrics import count_owners, count_residues, count_voxels, instance_dice, total
from edseg_engine.inference.volume import prepare_volumes
from edseg_engine.labels import ATOMS, BACKGROUND
from edseg_engine.networks.weights import choose_weights
from edseg_engine.pipeline import FoundResidues
from edseg_engine.residues.backbone import Backbone
from edseg_engine.residues.classify import Classes
from edseg_engine.residues.instances import Instances
from edseg_engine.residues.known import KnownResidues
from edseg_engine.resolution import RANGES, range_of_resolution
from places import CRYSTAL as FOLDER

CRYSTAL = Symmetry(gemmi.UnitCell(40, 50, 60, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21"))


def one_hot(*labels: int) -> np.ndarray:
    return np.eye(17)[list(labels)] * 0.9 + 0.1 / 17


def test_matching_is_under_symmetry_and_one_to_one() -> None:
    true = np.array([[1.0, 2.0, 3.0], [20.0, 20.0, 20.0], [30.0, 10.0, 50.0]])
    copy = CRYSTAL.apply(true, np.array([1, 2, 3]), np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 2]]))
    found = np.concatenate([copy[[2, 0]] + 0.4, copy[[0]] + 0.9])
    pairs = match(found, true, CRYSTAL)
    assert dict(zip(pairs.found.tolist(), pairs.true.tolist(), strict=True)) == {0: 2, 1: 0}
    np.testing.assert_allclose(pairs.distance, 0.4 * np.sqrt(3), atol=1e-6)


def test_matching_takes_as_many_pairs_as_possible() -> None:
    free = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    true = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    found = np.array([[0.9, 0, 0], [-2.9, 0, 0]])
    pairs = match(found, true, free)
    assert dict(zip(pairs.found.tolist(), pairs.true.tolist(), strict=True)) == {0: 1, 1: 0}
    assert len(match(found + [0, 3.1, 0], true, free).found) == 0


def test_counts_of_residues() -> None:
    labels = np.array([0, 0, 5, 8])
    free = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    true = np.array([[0.0, 0, 0], [10.0, 0, 0], [20.0, 0, 0], [30.0, 0, 0]])
    found = np.array([[0.5, 0, 0], [10.5, 0, 0], [20.5, 0, 0], [50.0, 0, 0], [60.0, 0, 0]])
    probabilities = one_hot(0, 3, 5, 5, 8)
    probabilities[1, 0] = 0.05
    figures = count_residues(probabilities, labels, match(found, true, free)).figures()
    assert figures["rank1"] == pytest.approx(2 / 4)
    assert figures["rank3"] == pytest.approx(3 / 4)
    assert figures["recall"] == pytest.approx(3 / 4)
    assert figures["precision"] == pytest.approx(3 / 5)
    assert figures["found_over_true"] == pytest.approx(5 / 4)
    assert figures["label_recall"] == pytest.approx(np.mean([0.5, 1.0, 0.0]))
    assert figures["label_precision"] == pytest.approx(np.mean([1.0, 0.0, 0.5, 0.0]))
    counts = count_residues(probabilities, labels, match(found, true, free))
    assert total([counts, counts]).figures() == figures
    # The last residue has no partner; the second is taken for class 3.
    assert np.argwhere(counts.confusion).tolist() == [[0, 0], [0, 3], [5, 5]]
    assert total([counts, counts]).confusion.sum() == 2 * 3


def test_residues_named_by_their_own_voxels() -> None:
    labels = np.array([0, 3, 5])
    counts = count_owners(one_hot(0, 4, 5), labels, np.array([1, 1, -1, 0, -2]))
    assert counts.figures()["rank1"] == counts.figures()["rank3"] == pytest.approx(1 / 3)
    assert counts.figures()["recall"] == pytest.approx(2 / 3)  # the last has no voxel
    assert counts.true.sum() == 3


def test_nothing_found_is_all_wrong() -> None:
    nothing = match(np.zeros((0, 3)), np.zeros((2, 3)), CRYSTAL)
    figures = count_residues(np.zeros((0, 17)), np.array([1, 2]), nothing).figures()
    assert figures["rank1"] == figures["recall"] == figures["precision"] == 0.0


def test_semantic_iou() -> None:
    truth = np.array([0, 0, 1, 1, BACKGROUND, -1])
    probabilities = np.zeros((6, 17), np.float16)
    probabilities[[0, 1, 2, 5], [0, 1, 1, 4]] = 0.9  # the others: background
    iou = count_voxels(probabilities, truth).mean_iou()
    assert iou == pytest.approx(np.mean([1 / 2, 1 / 3]))


def test_rates_of_voxels_by_hand() -> None:
    """Class 0: one hit, one miss; class 1: one hit, one false alarm; one voxel of background, named rightly."""
    truth = np.array([0, 0, 1, BACKGROUND])
    probabilities = np.zeros((4, 17), np.float16)
    probabilities[[0, 1, 2], [0, 1, 1]] = 0.9
    rates = count_voxels(probabilities, truth).rates()
    assert rates["true_positive"] == pytest.approx(np.mean([1 / 2, 1]))
    assert rates["true_negative"] == pytest.approx(np.mean([1, 2 / 3]))
    assert rates["f1"] == pytest.approx(np.mean([2 / 3, 2 / 3]))
    assert set(count_voxels(probabilities[:0], truth[:0]).rates().values()) == {0.0}


def test_instance_dice() -> None:
    members = np.array([0, 0, 0, 1, 1, -1])
    owner = np.array([0, 0, 1, 1, 1, 1])
    free = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    pairs = match(np.array([[0.0, 0, 0], [9.0, 0, 0]]), np.array([[0.0, 0, 0], [9.0, 0, 0]]), free)
    assert instance_dice(members, owner, pairs, 2) == pytest.approx((2 * 2 / 5 + 2 * 2 / 6) / 2)


def test_culling_leaves_density_of_the_model_only(crystal_map: DensityMap, crystal_residues: KnownResidues) -> None:
    region = choose_region(crystal_map, "asu")
    (volume,) = prepare_volumes(crystal_map, region, RANGES[0])
    less = culled(volume, crystal_residues, region.symmetry)
    assert 0.3 < less.occupied.sum() / volume.occupied.sum() < 1.0
    kept = volume.positions(np.flatnonzero(less.occupied.reshape(-1)))
    images = region.symmetry.images_in_box(crystal_residues.atoms, kept.min(0) - 4, kept.max(0) + 4)
    from scipy.spatial import cKDTree

    assert cKDTree(images.positions).query(kept)[0].max() <= CULLING
    assert (less.values[volume.values == 0] == 0).all()


def found_with_atoms(positions: np.ndarray, atoms: np.ndarray) -> FoundResidues:
    k = len(positions)
    instances = Instances(positions, np.zeros(0, np.intp), np.ones(k), np.ones(k))
    classes = Classes(np.full((k, 17), 1 / 17), np.ones(k), np.ones(k, np.intp))
    return FoundResidues(instances, positions, classes, Backbone(atoms))


def test_errors_of_atoms_are_those_of_the_copy_that_was_found(crystal_residues: KnownResidues) -> None:
    symmetry = Symmetry(gemmi.UnitCell(45.4, 45.4, 87.9, 90, 90, 120), gemmi.SpaceGroup("P 32 2 1"))
    n = len(crystal_residues.labels)
    operation, shift = np.arange(n) % 6, np.tile([1, 0, -1], (n, 1))
    positions = symmetry.apply(crystal_residues.centroids, operation, shift)
    copies = [symmetry.apply(crystal_residues.points[:, 1 + a], operation, shift) for a in range(len(ATOMS))]
    atoms = np.nan_to_num(np.stack(copies, 1)) + np.array([0.0, 0.3, 0.4])
    atoms[: n // 4, ATOMS.index("O")] += np.array([2.0, 0.0, 0.0])
    matching = Matching(np.arange(n), np.arange(n), np.zeros(n))
    errors = atom_errors(crystal_residues, found_with_atoms(positions, atoms), matching, symmetry)
    assert errors.shape == (n, len(ATOMS))
    known = np.isfinite(crystal_residues.points[:, 1:]).all(2)
    assert (np.isfinite(errors) == known).all()
    assert not known[:, ATOMS.index("next CA")].all()  # the last residue of a chain has no neighbour
    figures = atom_figures([errors[: n // 2], errors[n // 2 :]])
    assert figures["CA"]["median"] == pytest.approx(0.5)
    assert figures["CA"]["close"] == 1.0
    assert figures["O"]["close"] == pytest.approx(1 - (n // 4) / n)


def test_without_votes_for_atoms_there_are_no_figures(crystal_residues: KnownResidues) -> None:
    found = FoundResidues(**{**vars(found_with_atoms(np.zeros((0, 3)), np.zeros((0, 7, 3)))), "backbone": None})
    nothing = atom_errors(crystal_residues, found, Matching(*np.zeros((2, 0), np.intp), np.zeros(0)), CRYSTAL)
    assert atom_figures([nothing]) == {}


def test_maps_without_amplitudes_are_not_read_again(crystal_map: DensityMap, crystal_residues: KnownResidues) -> None:
    weights, device = choose_weights(None, range_of_resolution(2.0)), torch.device("cpu")
    with pytest.raises(OptionError, match="no measured amplitudes"):
        score_map(KnownMap(crystal_map, crystal_residues, "1az5"), weights, device, Protocol(cycles=2))
    with pytest.raises(OptionError, match="cycles must be"):
        Protocol(cycles=0)


def test_a_map_that_is_read_again_is_scored_by_its_last_reading() -> None:
    crystal = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, FOLDER))
    density = crystal.initial_density(2.0, TYPICAL["mr"], np.random.default_rng(0))
    known = KnownMap(density, crystal.residues, "1az5", crystal.amplitudes)
    weights, device = choose_weights(None, range_of_resolution(2.0)), torch.device("cpu")
    once, again = (score_map(known, weights, device, Protocol(cycles=n)) for n in (1, 2))
    for figures, improved in ((once.k_given, again.k_given), (once.k_found, again.k_found)):
        assert improved.figures()["rank1"] > figures.figures()["rank1"] + 0.05
    assert np.nanmean(again.atoms) < np.nanmean(once.atoms)
