"""Fragments into the sequence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edseg_engine.building.alignment import Places, align, different
from edseg_engine.building.coordinates import to_model
from edseg_engine.building.dock import Docking, dock, rank_one
from edseg_engine.building.records import CA
from edseg_engine.building.trace import trace
from places import MODEL
from simulated_votes import KnownChains, known_chains, twice, votes

OTHER = "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKRHDFFKSAMPEGYVQER"


@pytest.fixture(scope="module")
def known() -> KnownChains:
    return known_chains(MODEL)


def score(docking: Docking, known: KnownChains, truth: NDArray[np.intp]) -> tuple[int, int]:
    """Return how many residues have the right place, and how many a wrong one, in a chain of their sequence."""
    right, wrong = 0, 0
    for chain in docking.chains:
        for piece in chain.pieces:
            for place, residue in enumerate(piece.fragment.residues, piece.place):
                true = truth[residue]
                sequence = docking.sequences[chain.sequence]
                if true >= 0 and known.place[true] == place and known.sequences[known.chain[true]] == sequence:
                    right += 1
                else:
                    wrong += 1
    return right, wrong


@pytest.mark.parametrize(("rank1", "rms", "share"), [(0.9, 0.5, 0.92), (0.6, 0.7, 0.8)])
def test_fragments_find_their_places(known: KnownChains, rank1: float, rms: float, share: float) -> None:
    total, right, wrong = 0, 0, 0
    for seed in range(3):
        residues, truth = votes(known, np.random.default_rng(seed), rms=rms, rank1=rank1)
        good, bad = score(dock(trace(residues), known.sequences), known, truth)
        total, right, wrong = total + int((truth >= 0).sum()), right + good, wrong + bad
    assert right >= share * total
    assert wrong <= 0.02 * total


def test_a_wrong_sequence_docks_nothing(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(1))
    docking = dock(trace(residues), (OTHER,))
    assert docking.n_docked <= 3
    assert sum(map(len, docking.undocked)) >= 80


def test_two_copies_become_two_chains_without_a_place_twice(known: KnownChains) -> None:
    two = twice(known)
    residues, truth = votes(two, np.random.default_rng(2), lost=0.08)
    docking = dock(trace(residues), known.sequences)
    right, wrong = score(docking, two, truth)
    assert right >= 0.93 * (truth >= 0).sum()
    assert wrong <= 3
    assert len(docking.chains) == 2
    for chain in docking.chains:
        places = [place for piece in chain.pieces for place in range(piece.place, piece.end)]
        assert len(places) == len(set(places))
        copies = {int(two.chain[truth[r]]) for p in chain.pieces for r in p.fragment.residues if truth[r] >= 0}
        assert len(copies) == 1


def test_two_proteins_get_their_own_residues(known: KnownChains) -> None:
    two = twice(known, OTHER)
    residues, truth = votes(two, np.random.default_rng(3))
    docking = dock(trace(residues), two.sequences)
    right, wrong = score(docking, two, truth)
    assert right >= 0.93 * (truth >= 0).sum()
    assert wrong <= 3
    assert {docking.sequences[chain.sequence] for chain in docking.chains} == set(two.sequences)


def test_a_chain_lies_in_one_molecule(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(4), lost=0.12)
    (chain,) = dock(trace(residues), known.sequences).chains
    assert len(chain.pieces) > 3
    for a, b in zip(chain.pieces, chain.pieces[1:], strict=False):
        if b.place - a.end <= 2:
            between = np.linalg.norm(b.fragment.atoms[0, CA] - a.fragment.atoms[-1, CA])
            assert between < 3.8 * (b.place - a.end + 1) + 1.5


def test_the_model_is_put_around_what_is_known(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(5))
    place = known.symmetry.apply(known.atoms[:, CA], np.full(len(known), 2), np.tile([1, 2, -1], (len(known), 1)))
    docking = dock(trace(residues), known.sequences, around=place[:30])
    ca = np.concatenate([chain.ca for chain in docking.chains])
    assert np.linalg.norm(ca.mean(0) - place.mean(0)) < 3


def test_a_trace_that_skips_a_residue_or_has_one_too_many_is_split() -> None:
    sequence = "MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFK"
    places = Places.of([sequence])
    sure = 0.9 * np.eye(17)[places.classes] + 0.1 / 17
    skipped = align(np.delete(sure, 12, axis=0), places).posterior.argmax(1)
    assert skipped.tolist() == [*range(12), *range(13, 36)]
    extra = np.insert(sure, 12, 1 / 17, axis=0)
    doubled = align(extra, places).posterior.argmax(1)
    assert np.delete(doubled, 12).tolist() == list(range(36))


def test_posteriors_are_probabilities_and_repeats_are_not_docked() -> None:
    places = Places.of(["GAGAGAGAGAGAGAGAGAGA"])
    posterior = align(0.9 * np.eye(17)[places.classes[:6]] + 0.1 / 17, places).posterior
    assert (posterior >= 0).all()
    assert (posterior.sum(1) <= 1 + 1e-9).all()
    assert posterior.max() < 0.95


def test_nearly_equal_sequences_are_copies() -> None:
    assert different(["PEPTIDEKLMNSTV", OTHER, "EPTIDEKLMNST"]) == (("PEPTIDEKLMNSTV", OTHER), (2, 1))


def test_without_a_sequence_fragments_are_chains_of_their_likeliest_types(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(6))
    traced = trace(residues)
    model = to_model(rank_one(traced))
    long = [fragment for fragment in traced.fragments if len(fragment) >= 4]
    assert [len(chain) for chain in model.structure[0]] == [len(fragment) for fragment in long]
    assert set(model.sequences) == {chain.name for chain in model.structure[0]}


def test_coordinates_are_named_and_numbered_as_the_sequence(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(7))
    model = to_model(dock(trace(residues), known.sequences))
    assert model.structure.spacegroup_hm == "P 32 2 1"
    for (_, number), residue in model.residues.items():
        expected = known.sequences[0][number - 1]
        assert residue.name == model.residues["A", number].name
        assert expected == known.sequences[0][number - 1]
        names = {atom.name for atom in residue}
        assert names == {"N", "CA", "C", "O"} | (set() if residue.name == "GLY" else {"CB"})
