"""Residues among their neighbours: the same however a crystal is described, and as the main chains lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.inference import neighbours
from edseg_engine.inference.frames import axes_of
from edseg_engine.inference.neighbours import N_NEIGHBOURS, find_neighbours, read_among_neighbours
from edseg_engine.labels import ATOMS, N_LABELS
from edseg_engine.networks import neighbournet
from edseg_engine.networks.neighbournet import NeighbourNet
from edseg_engine.residues.known import KnownResidues

N, CA, C = (ATOMS.index(name) for name in ("N", "CA", "C"))


@pytest.fixture(scope="module")
def atoms(crystal_residues: KnownResidues) -> np.ndarray:
    atoms = crystal_residues.points[:, 1:]
    return atoms[np.isfinite(atoms).all((1, 2))]


@pytest.fixture(scope="module")
def symmetry(crystal_map: DensityMap) -> Symmetry:
    return Symmetry(crystal_map.cell, crystal_map.spacegroup)


@pytest.fixture(scope="module")
def alone(crystal_map: DensityMap) -> Symmetry:
    return Symmetry(crystal_map.cell, crystal_map.spacegroup, periodic=False)


@pytest.fixture(scope="module")
def net() -> NeighbourNet:
    torch.manual_seed(0)
    net = NeighbourNet(16, 2)
    torch.nn.init.normal_(net.head.weight)
    return net.eval()


def said(k: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(N_LABELS, 0.3), k)


def test_each_residue_is_first_among_its_neighbours(atoms: np.ndarray, symmetry: Symmetry) -> None:
    around = find_neighbours(atoms, symmetry)
    np.testing.assert_array_equal(around.nearest[:, 0], np.arange(len(atoms)))
    np.testing.assert_allclose(around.atoms[:, 0, CA], 0.0, atol=1e-3)
    away = np.linalg.norm(around.atoms[:, :, CA].astype(float), axis=2)
    assert (np.diff(away, axis=1) > -0.02).all()
    assert away[around.nearest >= 0].max() < 18.0


def test_the_next_residue_is_a_bond_away(atoms: np.ndarray, symmetry: Symmetry) -> None:
    around = find_neighbours(atoms, symmetry)
    bonds = np.linalg.norm((around.atoms[:, 1:, N] - around.atoms[:, :1, C]).astype(float), axis=2).min(1)
    assert (np.abs(bonds - 1.33) < 0.05).mean() > 0.95


def test_neighbours_are_seen_across_the_symmetry(atoms: np.ndarray, symmetry: Symmetry, alone: Symmetry) -> None:
    crystal, molecule = (find_neighbours(atoms, s) for s in (symmetry, alone))
    # 1AZ5 is half of a dimer on a two-fold axis.
    assert (crystal.nearest != molecule.nearest).any(1).mean() > 0.2


def test_any_copy_of_a_residue_has_the_same_neighbours(atoms: np.ndarray, symmetry: Symmetry) -> None:
    k = len(atoms)
    operation = np.arange(k) % len(symmetry)
    shift = np.random.default_rng(1).integers(-2, 3, (k, 3))
    copies = np.stack([symmetry.apply(atoms[:, a], operation, shift) for a in range(atoms.shape[1])], 1)
    here, there = find_neighbours(atoms, symmetry), find_neighbours(copies, symmetry)
    # Residues equally far away may be told in another order.
    np.testing.assert_array_equal(np.sort(here.nearest, 1), np.sort(there.nearest, 1))
    same = (here.nearest == there.nearest).all(1)
    assert same.mean() > 0.9
    np.testing.assert_allclose(there.atoms[same], here.atoms[same], atol=0.02)


def test_a_turned_molecule_is_read_the_same(atoms: np.ndarray, alone: Symmetry, net: NeighbourNet) -> None:
    probabilities = said(len(atoms))
    turned = atoms @ Rotation.random(random_state=3).as_matrix().T + [100.0, -40.0, 7.0]
    here, there = (read_among_neighbours(net, a, probabilities, alone, 2.0) for a in (atoms, turned))
    assert np.abs(here - probabilities).max() > 0.05
    np.testing.assert_allclose(there, here, atol=0.02)


def test_the_order_of_residues_does_not_matter(atoms: np.ndarray, symmetry: Symmetry, net: NeighbourNet) -> None:
    probabilities, order = said(len(atoms)), np.random.default_rng(4).permutation(len(atoms))
    here = read_among_neighbours(net, atoms, probabilities, symmetry, 2.0)
    there = read_among_neighbours(net, atoms[order], probabilities[order], symmetry, 2.0)
    np.testing.assert_allclose(there, here[order], atol=0.02)
    np.testing.assert_allclose(here.sum(1), 1.0)


def test_few_residues_have_few_neighbours(atoms: np.ndarray, alone: Symmetry, net: NeighbourNet) -> None:
    around = find_neighbours(atoms[:3], alone)
    assert around.nearest.shape == (3, N_NEIGHBOURS + 1)
    assert (around.nearest[:, 3:] == -1).all()
    assert not around.atoms[:, 3:].any()
    for few in (atoms[:1], atoms[:3]):
        probabilities = said(len(few))
        assert np.isfinite(read_among_neighbours(net, few, probabilities, alone, 2.0)).all()


def test_nothing_is_heard_from_afar(atoms: np.ndarray, alone: Symmetry, net: NeighbourNet) -> None:
    two = np.stack([atoms[0], atoms[1] + 500.0])
    probabilities = said(2)
    other = probabilities.copy()
    other[0] = other[0, ::-1]
    here, there = (read_among_neighbours(net, two, p, alone, 2.0) for p in (probabilities, other))
    np.testing.assert_allclose(there[1], here[1], atol=1e-6)
    near = np.stack([atoms[0], atoms[1]])
    here, there = (read_among_neighbours(net, near, p, alone, 2.0) for p in (probabilities, other))
    assert np.abs(there[1] - here[1]).max() > 1e-3


def test_a_residue_found_twice_is_no_neighbour_of_itself(
    atoms: np.ndarray, symmetry: Symmetry, net: NeighbourNet
) -> None:
    k, probabilities = len(atoms), said(len(atoms))
    twice = np.concatenate([atoms, atoms[3:4] + 0.2])
    assert k not in find_neighbours(twice, symmetry).nearest[3]
    assert 3 not in find_neighbours(twice, symmetry).nearest[k]
    read = read_among_neighbours(net, twice, np.vstack([probabilities, probabilities[3:4]]), symmetry, 2.0)
    np.testing.assert_allclose(read[k], read[3], atol=0.05)


def test_a_residue_on_a_symmetry_element_is_itself(atoms: np.ndarray, symmetry: Symmetry) -> None:
    # The two-fold of P 32 2 1 that exchanges x and y holds the points (u, u, 0) of the cell.
    on_axis = symmetry.to_orthogonal(np.array([[0.3, 0.3, 0.0]]))
    moved = atoms[:1] - atoms[:1, CA, None] + on_axis[:, None]
    around = find_neighbours(moved, symmetry)
    assert around.nearest[0, 0] == 0
    np.testing.assert_allclose(around.atoms[0, 0], (moved[0] - on_axis) @ axes_of(moved)[0], atol=0.01)


def test_many_residues_have_the_neighbours_of_few(
    atoms: np.ndarray, symmetry: Symmetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find_neighbours(atoms, symmetry)
    monkeypatch.setattr(neighbours, "_CHUNK", 20)
    chunks = find_neighbours(atoms, symmetry)
    np.testing.assert_array_equal(chunks.nearest, whole.nearest)
    np.testing.assert_array_equal(chunks.atoms, whole.atoms)


def test_residues_without_a_main_chain_stay_and_are_no_neighbours(
    atoms: np.ndarray, symmetry: Symmetry, net: NeighbourNet
) -> None:
    probabilities, broken = said(len(atoms)), atoms.copy()
    broken[5, C], broken[7, ATOMS.index("O")], broken[9] = np.nan, np.nan, 1.0
    read = read_among_neighbours(net, broken, probabilities, symmetry, 2.0)
    np.testing.assert_array_equal(read[[5, 7, 9]], probabilities[[5, 7, 9]])
    others = np.delete(np.arange(len(atoms)), [5, 7, 9])
    without = read_among_neighbours(net, atoms[others], probabilities[others], symmetry, 2.0)
    np.testing.assert_allclose(read[others], without, atol=0.02)
    nothing = read_among_neighbours(net, np.full((2, len(ATOMS), 3), np.nan), probabilities[:2], symmetry, 2.0)
    np.testing.assert_array_equal(nothing, probabilities[:2])
    empty = read_among_neighbours(net, np.zeros((0, len(ATOMS), 3)), probabilities[:0], symmetry, 2.0)
    assert empty.shape == (0, N_LABELS)


def test_a_network_that_has_learnt_nothing_says_what_it_is_told(atoms: np.ndarray, symmetry: Symmetry) -> None:
    probabilities = said(len(atoms)).clip(1e-3)
    probabilities /= probabilities.sum(1, keepdims=True)
    read = read_among_neighbours(NeighbourNet(16, 2).eval(), atoms, probabilities, symmetry, 2.0)
    np.testing.assert_allclose(read, probabilities, rtol=0.02)


def test_a_large_crystal_is_read_piece_by_piece(
    atoms: np.ndarray, symmetry: Symmetry, net: NeighbourNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities = said(len(atoms))
    whole = read_among_neighbours(net, atoms, probabilities, symmetry, 2.0)
    monkeypatch.setattr(neighbournet, "_PIECE", 20)
    in_pieces = read_among_neighbours(net, atoms, probabilities, symmetry, 2.0)
    np.testing.assert_allclose(in_pieces, whole, atol=0.01)
