"""What has no place in the sequence is in the model as alanines, but in nothing's way."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from edseg_engine.building.alanines import as_chains, with_alanines, without_alanines
from edseg_engine.building.coordinates import to_model
from edseg_engine.building.copies import Chain, Piece
from edseg_engine.building.dock import Docking
from edseg_engine.building.records import Fragment, Model
from edseg_engine.evaluation.models import compare
from edseg_engine.io.coordinates import read_model
from places import MODEL
from simulated_votes import KnownChains, known_chains

#: The model has the residues before this one, a fragment those from there on.
BORDER = 70


@pytest.fixture(scope="module")
def known() -> KnownChains:
    return known_chains(MODEL)


def fragment(known: KnownChains, first: int, last: int) -> Fragment:
    n = last - first
    return Fragment(np.arange(n), known.atoms[first:last], np.full((n, 17), 1 / 17), np.full(n, 0.9))


@pytest.fixture(scope="module")
def partial(known: KnownChains) -> Model:
    piece = Piece(fragment(known, 0, BORDER), 0, np.ones(BORDER))
    return to_model(Docking(known.sequences, (Chain(0, (piece,)),), (), known.symmetry))


def test_a_stretch_is_added_as_alanines_and_taken_out_again(known: KnownChains, partial: Model) -> None:
    whole = with_alanines(partial, as_chains([fragment(known, BORDER, len(known))]))
    assert len(whole.alanines) == 1
    assert {residue.name for residue in whole.unplaced.values()} == {"ALA"}
    assert len(whole.unplaced) == len(known) - BORDER
    assert whole.residues.keys() == partial.residues.keys()
    truth = read_model(MODEL)
    before, after = compare(partial.structure, truth), compare(whole.structure, truth)
    assert after.placed == before.placed
    assert after.completeness > 0.99 > before.completeness
    bare, chains = without_alanines(whole)
    assert [chain.name for chain in bare.structure[0]] == [chain.name for chain in partial.structure[0]]
    again = with_alanines(bare, chains)
    assert len(again.unplaced) == len(whole.unplaced)


@pytest.mark.parametrize("copy", [0, 1, 5])
def test_what_lies_upon_the_model_or_its_copies_stays_out(known: KnownChains, partial: Model, copy: int) -> None:
    """Of a stretch that begins within the model the rest is added, in whatever symmetry copy it lies."""
    inside = fragment(known, BORDER - 10, BORDER + 10)
    n = inside.atoms.shape[0] * 5
    operation, shift = np.full(n, copy), np.ones((n, 3), int) * (copy > 0)
    moved = known.symmetry.apply(inside.atoms.reshape(-1, 3), operation, shift).reshape(-1, 5, 3)
    whole = with_alanines(
        partial, as_chains([Fragment(inside.residues, moved, inside.probabilities, inside.confidence)])
    )
    assert [number for _, number in whole.unplaced] == list(range(11, 21))


def test_a_stretch_of_two_is_left_out(known: KnownChains, partial: Model) -> None:
    whole = with_alanines(partial, as_chains([fragment(known, BORDER, BORDER + 2)]))
    assert not whole.alanines
    assert isinstance(whole.structure, gemmi.Structure)
