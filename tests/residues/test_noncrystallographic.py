"""Copies of a molecule: found by what their residues look like, told from chance and from symmetry, and of use."""

from __future__ import annotations

from collections.abc import Callable

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.labels import N_LABELS
from edseg_engine.residues.known import KnownResidues
from edseg_engine.residues.ncs import Copies, find_copies, pooled_over_copies

Floats = NDArray[np.float64]

#: A molecule twice as far away as it is large, turned.
TURN, SHIFT = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix(), np.array([48.0, 7.0, -12.0])
BOX = gemmi.UnitCell(120, 110, 100, 90, 90, 90)


@pytest.fixture(scope="module")
def main_chain(crystal_residues: KnownResidues) -> tuple[Floats, NDArray[np.intp]]:
    """Atoms (k, 7, 3) of a molecule and its classes (k,)."""
    points = crystal_residues.points[:, 1:]
    complete = np.isfinite(points[:, :3]).all((1, 2))
    return points[complete], crystal_residues.labels[complete]


def beliefs(labels: NDArray[np.intp], rng: np.random.Generator, signal: float = 1.6) -> Floats:
    """Class probabilities whose rank 1 is right for about half of the residues, or more where there is more signal."""
    scores = signal * rng.normal(size=(len(labels), N_LABELS))
    scores[np.arange(len(labels)), labels] += signal**2
    values = np.exp(scores)
    return np.asarray(values / values.sum(1, keepdims=True))


def twice(atoms: Floats, rng: np.random.Generator) -> Floats:
    """A molecule and its copy, with the errors of votes."""
    both = np.concatenate([atoms, atoms @ TURN.T + SHIFT])
    return np.asarray(both + 0.25 * rng.normal(size=both.shape))


def in_box() -> Symmetry:
    return Symmetry(BOX, gemmi.SpaceGroup("P 1"))


def no_crystal() -> Symmetry:
    return Symmetry(BOX, gemmi.SpaceGroup("P 1"), periodic=False)


@pytest.mark.parametrize("symmetry", [in_box, no_crystal])
def test_copies_are_paired_and_tell_their_classes_together(
    symmetry: Callable[[], Symmetry], main_chain: tuple[Floats, NDArray[np.intp]]
) -> None:
    rng = np.random.default_rng(1)
    atoms, labels = main_chain
    k, probabilities = len(labels), beliefs(np.tile(labels, 2), rng)
    copies = find_copies(twice(atoms, rng), probabilities, symmetry())
    right = copies.pairs[:, 1] - copies.pairs[:, 0] == k
    assert right.sum() > 0.85 * k
    assert (~right).sum() <= 2
    assert len(np.unique(copies.pairs, axis=0)) == len(copies)
    assert ((copies.probability > 0) & (copies.probability < 1)).all()
    together = pooled_over_copies(probabilities, copies)
    np.testing.assert_allclose(together.sum(1), 1)
    alone, better = ((p.argmax(1) == np.tile(labels, 2)).mean() for p in (probabilities, together))
    assert 0.3 < alone < 0.7
    assert better > alone + 0.1


def test_copies_move_with_the_molecules(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    rng = np.random.default_rng(2)
    atoms, labels = main_chain
    both, probabilities = twice(atoms, rng), beliefs(np.tile(labels, 2), rng)
    other = Rotation.from_rotvec([-0.3, 0.8, 1.9]).as_matrix()
    found, moved = (find_copies(a, probabilities, no_crystal()) for a in (both, both @ other.T - SHIFT))
    pairs, pairs_moved = (set(map(tuple, each.pairs.tolist())) for each in (found, moved))
    assert len(pairs & pairs_moved) > 0.95 * len(pairs | pairs_moved)


def test_copies_are_found_across_cell_edges_and_symmetry(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    """Residues of one copy may lie in any symmetry copy of it."""
    rng = np.random.default_rng(3)
    atoms, labels = main_chain
    symmetry = Symmetry(BOX, gemmi.SpaceGroup("P 21 21 21"))
    both, probabilities = twice(atoms, rng), beliefs(np.tile(labels, 2), rng)
    operation, shift = rng.integers(len(symmetry), size=len(both)), rng.integers(-1, 2, (len(both), 3))
    scattered = np.stack([symmetry.apply(both[:, a], operation, shift) for a in range(both.shape[1])], 1)
    pairs = find_copies(scattered, probabilities, symmetry).pairs
    assert (pairs[:, 1] - pairs[:, 0] == len(labels)).sum() > 0.85 * len(labels)


def test_what_the_crystal_relates_is_no_copy(
    crystal_model: gemmi.Structure, main_chain: tuple[Floats, NDArray[np.intp]]
) -> None:
    atoms, labels = main_chain
    symmetry = Symmetry(crystal_model.cell, crystal_model.find_spacegroup())
    for seed in range(5):
        rng = np.random.default_rng(seed)
        votes = atoms + 0.25 * rng.normal(size=atoms.shape)
        assert len(find_copies(votes, beliefs(labels, rng), symmetry)) == 0


def test_a_like_fold_of_other_residues_is_no_copy(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    atoms, labels = main_chain
    for seed in range(5):
        rng = np.random.default_rng(seed)
        probabilities = beliefs(np.concatenate([labels, rng.permutation(labels)]), rng)
        assert len(find_copies(twice(atoms, rng), probabilities, in_box())) == 0


def test_a_homologue_whose_residues_are_clear_is_no_copy(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    """Where the map shows that half of the residues are of another type, they must not tell each other's."""
    atoms, labels = main_chain
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mutated = np.where(rng.random(len(labels)) < 0.5, rng.permutation(labels), labels)
        probabilities = beliefs(np.concatenate([labels, mutated]), rng, signal=3.5)
        assert len(find_copies(twice(atoms, rng), probabilities, in_box())) == 0


def test_copies_of_the_same_density_tell_nothing_new(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    """As those of a whole cell, or of a map on which symmetry was imposed, read in another orientation each."""
    rng = np.random.default_rng(5)
    atoms, labels = main_chain
    ours = beliefs(labels, rng)
    again = ours * np.exp(0.25 * rng.normal(size=ours.shape))
    again /= again.sum(1, keepdims=True)
    assert len(find_copies(twice(atoms, rng), np.concatenate([ours, again]), in_box())) == 0


def test_a_helix_is_no_copy_of_itself(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    """Each turn of it lies on the next; ten residues of one class each would agree by chance."""
    rng = np.random.default_rng(6)
    turn = np.arange(40) * np.radians(100)
    ca = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.5 * np.arange(40)], 1)
    atoms = np.repeat(ca[:, None], 7, 1) + 0.05 * rng.normal(size=(40, 7, 3))
    atoms[1:, 0], atoms[:-1, 2] = (2 * ca[1:] + ca[:-1]) / 3, (2 * ca[:-1] + ca[1:]) / 3
    atoms[0, 0], atoms[-1, 2] = ca[0] - [0.5, 0.5, 0.9], ca[-1] + [0.5, -0.5, 0.9]
    for labels in (rng.integers(0, N_LABELS, 40), np.full(40, 3)):
        assert len(find_copies(atoms, beliefs(labels, rng), no_crystal())) == 0


def test_residues_without_a_main_chain_have_no_copies(main_chain: tuple[Floats, NDArray[np.intp]]) -> None:
    rng = np.random.default_rng(4)
    atoms, labels = main_chain
    both, probabilities = twice(atoms, rng), beliefs(np.tile(labels, 2), rng)
    both[5], both[8, 0], both[11] = np.nan, np.nan, 1.0
    copies = find_copies(both, probabilities, in_box())
    assert len(copies) > 0.8 * len(labels)
    assert not np.isin(copies.pairs, [5, 8, 11]).any()
    for few in (0, 1, 19):
        assert len(find_copies(both[:few], probabilities[:few], in_box())) == 0


def test_what_is_frequent_anyway_persuades_less() -> None:
    pair = Copies(np.array([[0, 1]]), np.array([0.95]))
    open_, leaning = np.full(N_LABELS, 1 / N_LABELS), np.full(N_LABELS, 0.01)
    frequent, rare = 5, 7  # VAL/THR and TRP
    leaning[[frequent, rare]] = (1 - 0.01 * (N_LABELS - 2)) / 2
    told = pooled_over_copies(np.array([open_, leaning]), pair)[0]
    assert told[rare] > 1.2 * told[frequent] > 2.4 * told[0]


def test_a_copy_persuades_but_not_against_all_odds() -> None:
    pair = Copies(np.array([[0, 1]]), np.array([0.95]))
    sure, unsure = np.full(N_LABELS, 0.001), np.full(N_LABELS, 1 / N_LABELS)
    sure[3] = 1 - 0.001 * (N_LABELS - 1)
    np.testing.assert_array_equal(pooled_over_copies(np.array([unsure, sure]), pair).argmax(1), [3, 3])
    both = np.array([unsure, sure])
    told, less = (pooled_over_copies(both, pair, averaged)[0].max() for averaged in (False, True))
    assert unsure.max() < less < 0.8 * told
    other = np.roll(sure, 4)
    contradicted = pooled_over_copies(np.array([other, sure]), pair)
    np.testing.assert_array_equal(contradicted.argmax(1), [7, 3])
    assert (contradicted.max(1) < 0.999 * sure[3]).all()
    nobody = Copies(np.zeros((0, 2), np.intp), np.zeros(0))
    np.testing.assert_allclose(pooled_over_copies(np.array([sure, other]), nobody), [sure, other])
    assert pooled_over_copies(np.zeros((0, N_LABELS)), nobody).shape == (0, N_LABELS)
