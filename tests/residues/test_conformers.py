"""Alternative conformations of a residue, in the orders in which programs list them."""

from __future__ import annotations

from collections.abc import Callable

import gemmi
import numpy as np
import pytest

from edseg_engine.dataset.phases import PhaseQuality, phasing_model
from edseg_engine.evaluation.protein import protein_residues
from edseg_engine.residues.known import known_residues

Order = Callable[[tuple[int, str]], tuple[int, str] | tuple[str, int]]


def with_alternatives(residue: gemmi.Residue, order: Order, first_occupancy: float = 0.6) -> None:
    """Give a residue a second conformation, 2 Å off, with its atoms in some order."""
    original = [atom.clone() for atom in residue]
    del residue[:]
    listed = [(i, letter) for i in range(len(original)) for letter in "AB"]
    for i, letter in sorted(listed, key=order):
        atom = residue.add_atom(original[i])
        atom.altloc, atom.occ = letter, first_occupancy if letter == "A" else 0.4
        if letter == "B":
            atom.pos += gemmi.Position(2, 0, 0)


@pytest.mark.parametrize("order", [lambda atom: atom, lambda atom: atom[::-1]], ids=["by atom", "by conformation"])
def test_the_first_conformation_counts_in_any_order(crystal_model: gemmi.Structure, order: Order) -> None:
    expected = known_residues(crystal_model[0])
    model = crystal_model.clone()[0]
    with_alternatives(model["A"][20], order)
    found = known_residues(model)
    assert np.allclose(found.points, expected.points, atol=1e-6, equal_nan=True)
    assert np.allclose(found.atoms, expected.atoms)
    assert np.allclose(protein_residues(model)[20].centroid, expected.centroids[20])


def test_a_conformation_of_no_occupancy_does_not_count(crystal_model: gemmi.Structure) -> None:
    expected = known_residues(crystal_model[0]).points[20, :6] + (2, 0, 0)
    model = crystal_model.clone()[0]
    with_alternatives(model["A"][20], lambda atom: atom, first_occupancy=0.0)
    assert np.allclose(known_residues(model).points[20, :6], expected, atol=1e-6, equal_nan=True)


def test_a_grafted_side_chain_has_all_atoms_of_one_conformation(crystal_model: gemmi.Structure) -> None:
    """Whatever the letters of the conformations are."""
    quality = PhaseQuality("mr", coordinate_error=0.0, missing=0.0, bare=0.0, wrong=1.0)
    lettered = crystal_model.clone()
    for site in lettered[0].all():
        site.atom.altloc = "B"
    models = [phasing_model(s, quality, np.random.default_rng(1)) for s in (crystal_model, lettered)]
    plain, grafted = ([site.atom.name for site in model[0].all()] for model in models)
    assert plain == grafted
    assert "CG" in grafted
