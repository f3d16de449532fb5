"""Chains from voted backbone atoms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from edseg_engine.building.records import CA, BackboneResidues, C, N, Trace
from edseg_engine.building.trace import trace
from edseg_engine.crystal.symmetry import Symmetry
from places import MODEL
from simulated_votes import KnownChains, known_chains, twice, votes


@pytest.fixture(scope="module")
def known() -> KnownChains:
    return known_chains(MODEL)


def links(traced: Trace, truth: NDArray[np.intp]) -> list[tuple[int, int]]:
    return [
        (int(a), int(b))
        for fragment in traced.fragments
        for a, b in zip(truth[fragment.residues], truth[fragment.residues][1:], strict=False)
    ]


def possible(known: KnownChains, truth: NDArray[np.intp]) -> int:
    found = set(truth.tolist())
    bonds = [i for i in range(len(known) - 1) if known.bonded(i, i + 1)]
    near = [i for i in bonds if np.linalg.norm(known.atoms[i, C] - known.atoms[i + 1, N]) < 2]
    return sum(i in found and i + 1 in found for i in near)


@pytest.mark.parametrize(("rms", "neighbours", "share"), [(0.4, False, 0.95), (0.7, True, 0.92), (0.8, False, 0.85)])
def test_most_links_are_right_and_hardly_any_wrong(
    known: KnownChains, rms: float, neighbours: bool, share: float
) -> None:
    right, wrong, there = 0, 0, 0
    for seed in range(3):
        residues, truth = votes(known, np.random.default_rng(seed), rms=rms, neighbours=neighbours)
        found = links(trace(residues), truth)
        good = sum(known.bonded(a, b) for a, b in found)
        right, wrong, there = right + good, wrong + len(found) - good, there + possible(known, truth)
    assert right >= share * there
    assert wrong <= 0.02 * there


def test_consecutive_residues_are_neighbours_in_space_and_every_residue_appears_once(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(1))
    traced = trace(residues)
    for fragment in traced.fragments:
        steps = np.linalg.norm(np.diff(fragment.atoms[:, CA], axis=0), axis=1)
        assert (steps < 6).all()
        assert np.isfinite(fragment.atoms).all()
    seen = np.concatenate([*(f.residues for f in traced.fragments), traced.dropped])
    assert sorted(seen) == list(range(len(residues)))
    assert [len(f) for f in traced.fragments] == sorted((len(f) for f in traced.fragments), reverse=True)


def test_fragments_are_copies_of_what_was_voted(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(2), reverse=0)
    for fragment in trace(residues).fragments:
        for residue, atoms in zip(fragment.residues, fragment.atoms, strict=True):
            box = residues.symmetry.images_in_box(residues.atoms[residue, [CA]], atoms[CA] - 0.01, atoms[CA] + 0.01)
            assert len(box) == 1


def test_the_fragments_make_one_compact_molecule(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(3), lost=0.1, false=0)
    ca = np.concatenate([fragment.atoms[:, CA] for fragment in trace(residues).fragments])
    true = known.atoms[:, CA]
    radius, true_radius = (np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()) for x in (ca, true))
    assert radius < 1.3 * true_radius


def moved(residues: BackboneResidues, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> BackboneResidues:
    assert residues.next_ca is not None
    assert residues.previous_ca is not None
    return replace(
        residues,
        atoms=change(residues.atoms.reshape(-1, 3)).reshape(residues.atoms.shape),
        next_ca=change(residues.next_ca),
        previous_ca=change(residues.previous_ca),
    )


def test_the_choice_of_symmetry_copies_does_not_matter(known: KnownChains) -> None:
    residues, truth = votes(known, np.random.default_rng(4))
    symmetry = residues.symmetry

    def elsewhere(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        operation = np.full(len(positions), 3)
        return symmetry.apply(positions, operation, np.tile([2, -1, 1], (len(positions), 1)))

    assert set(links(trace(moved(residues, elsewhere)), truth)) == set(links(trace(residues), truth))


def test_a_reversed_residue_and_a_reversed_stretch_are_turned_round(known: KnownChains) -> None:
    residues, truth = votes(known, np.random.default_rng(5), rms=0.3, lost=0, false=0, reverse=0)
    by_truth = np.argsort(truth)
    stretch = by_truth[np.r_[20, 30:34]]
    atoms = residues.atoms.copy()
    atoms[stretch] = atoms[stretch][:, [2, 1, 0, 3, 4]]
    assert residues.next_ca is not None
    assert residues.previous_ca is not None
    following, preceding = residues.next_ca.copy(), residues.previous_ca.copy()
    following[stretch], preceding[stretch] = residues.previous_ca[stretch], residues.next_ca[stretch]
    found = links(trace(replace(residues, atoms=atoms, next_ca=following, previous_ca=preceding)), truth)
    assert {(19, 20), (20, 21), (29, 30), (30, 31), (32, 33), (33, 34)} <= set(found)


def test_a_second_residue_in_the_place_of_a_better_one_is_dropped(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(6), lost=0, false=0, reverse=0)
    double = np.append(np.arange(len(residues)), 40)
    atoms = residues.atoms[double].copy()
    atoms[-1] += 0.8
    assert residues.next_ca is not None
    assert residues.previous_ca is not None
    more = BackboneResidues(
        atoms,
        residues.probabilities[double],
        np.append(residues.confidence, 0.1),
        residues.symmetry,
        residues.next_ca[double],
        residues.previous_ca[double],
    )
    dropped = trace(more).dropped
    assert len(dropped) == 1
    assert dropped[0] in (40, len(residues))


def test_two_molecules_stay_two_chains(known: KnownChains) -> None:
    two = twice(known)
    residues, truth = votes(two, np.random.default_rng(7), false=0.02)
    found = links(trace(residues), truth)
    assert sum(two.bonded(a, b) for a, b in found) >= 0.95 * possible(two, truth)
    assert all(two.chain[a] == two.chain[b] for a, b in found if a >= 0 and b >= 0)


def test_a_helix_through_the_crystal_is_no_ring(known: KnownChains) -> None:
    # A residue every 3.8 Å along a cell edge of 3.8 Å follows itself: that is broken somewhere.
    cell = gemmi.UnitCell(30, 30, 11.4, 90, 90, 90)
    residue = np.array([[0, 0.6, -1.2], [0, 0, 0], [0, 0.6, 1.3], [0, 1.8, 1.3], [1.2, -0.9, 0]]) + [15, 15, 2]
    atoms = np.stack([residue, residue + [0, 0, 3.8], residue + [0, 0, 7.6]])
    ring = BackboneResidues(atoms, np.full((3, 17), 1 / 17), np.ones(3), Symmetry(cell, gemmi.SpaceGroup("P 1")))
    assert sum(map(len, trace(ring).fragments)) == 3


def test_nothing_gives_nothing(known: KnownChains) -> None:
    nothing = BackboneResidues(np.zeros((0, 5, 3)), np.zeros((0, 17)), np.zeros(0), known.symmetry)
    assert trace(nothing).fragments == ()


def test_without_a_crystal_each_residue_is_its_own_only_copy(known: KnownChains) -> None:
    alone = replace(known, symmetry=Symmetry(known.symmetry.cell, known.symmetry.spacegroup, periodic=False))
    residues, truth = votes(alone, np.random.default_rng(8), lost=0, false=0)
    del truth
    # The helper puts residues into other copies, which do not exist here.
    residues = replace(
        residues, atoms=known.atoms, next_ca=None, previous_ca=None, probabilities=residues.probabilities
    )
    assert max(len(fragment) for fragment in trace(residues).fragments) >= 40
