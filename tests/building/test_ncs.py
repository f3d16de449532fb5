"""Copies of a chain help each other, where they are alike and nothing is in the way."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from edseg_engine.building.coordinates import crystal_structure
from edseg_engine.building.ncs import with_copies
from edseg_engine.building.records import Model
from edseg_engine.crystal.symmetry import Symmetry

P1 = Symmetry(gemmi.UnitCell(200, 200, 200, 90, 90, 90), gemmi.SpaceGroup("P 1"))
LACKING = range(10, 19)
TURN, SHIFT = Rotation.from_euler("xyz", (40, -25, 110), degrees=True), np.array([70.0, 20.0, -15.0])


def moved(chain: gemmi.Chain, name: str) -> gemmi.Chain:
    copy = chain.clone()
    copy.name = name
    for residue in copy:
        for atom in residue:
            atom.pos = gemmi.Position(*(TURN.apply(atom.pos.tolist()) + SHIFT).tolist())
    return copy


def without(chain: gemmi.Chain, numbers: Iterable[int]) -> gemmi.Chain:
    left = gemmi.Chain(chain.name)
    for residue in chain:
        if residue.seqid.num not in set(numbers):
            left.add_residue(residue)
    return left


@pytest.fixture
def chain(crystal_model: gemmi.Structure) -> gemmi.Chain:
    """Residues 1 to 47 of a crystal."""
    chain = gemmi.Chain("A")
    for residue in crystal_model[0]["A"].get_polymer():
        if residue.seqid.num <= 47:
            chain.add_residue(residue)
    return chain


def model_of(*chains: gemmi.Chain, sequences: dict[str, str] | None = None, symmetry: Symmetry = P1) -> Model:
    model = gemmi.Model(1)
    for chain in chains:
        model.add_chain(chain)
    sequence = "G" * 47
    named = sequences or {chain.name: sequence for chain in chains}
    probability = {(c.name, r.seqid.num): 0.9 for c in chains for r in c}
    return Model(crystal_structure(model, symmetry), named, probability)


def test_a_copy_gets_what_the_other_has(chain: gemmi.Chain) -> None:
    whole = moved(chain, "B")
    found, new = with_copies(model_of(chain, without(whole, [*LACKING, 45, 46, 47])), P1)
    assert new == {("B", n) for n in [*LACKING, 45, 46, 47]}
    assert [r.seqid.num for r in found.structure[0]["B"]] == list(range(1, 48))
    for number in LACKING:
        here, there = found.residues["B", number], whole[str(number)][0]
        assert here.name == there.name
        assert max(a.pos.dist(b.pos) for a, b in zip(here, there, strict=True)) < 0.01
        assert found.probability["B", number] == 0.9


def test_both_may_lack_something(chain: gemmi.Chain) -> None:
    first, second = without(chain, range(30, 36)), without(moved(chain, "B"), LACKING)
    found, new = with_copies(model_of(first, second), P1)
    assert new == {*(("B", n) for n in LACKING), *(("A", n) for n in range(30, 36))}
    assert len(found.residues) == 2 * 47


def test_nothing_comes_into_the_way_of_what_is_there(chain: gemmi.Chain) -> None:
    whole = moved(chain, "B")
    obstacle = gemmi.Chain("C")
    obstacle.add_residue(whole["14"][0])
    sequences = {"A": "G" * 47, "B": "G" * 47, "C": "A" * 47}
    _, new = with_copies(model_of(chain, without(whole, LACKING), obstacle, sequences=sequences), P1)
    assert new == {("B", n) for n in LACKING if n != 14}


def test_a_stretch_does_not_lie_upon_its_own_symmetry_copy(chain: gemmi.Chain) -> None:
    """As a loop at a twofold axis, which only one of the copies can have."""
    twofold = Symmetry(P1.cell, gemmi.SpaceGroup("P 1 2 1"))
    end = moved(chain, "B")
    axis = end["47"][0]["CA"][0].pos + gemmi.Position(1, 0, 0)
    first = chain.clone()
    for residue in (*first, *end):
        for atom in residue:
            atom.pos -= gemmi.Position(axis.x, 0, axis.z)
    lacking = without(end, [45, 46, 47])
    assert with_copies(model_of(first, lacking), P1)[1] == {("B", n) for n in (45, 46, 47)}
    assert ("B", 47) not in with_copies(model_of(first, lacking, symmetry=twofold), twofold)[1]


def test_chains_of_other_sequences_and_other_shapes_are_no_copies(chain: gemmi.Chain) -> None:
    lacking = without(moved(chain, "B"), LACKING)
    model = model_of(chain, lacking, sequences={"A": "G" * 47, "B": "A" * 47})
    assert with_copies(model, P1) == (model, frozenset())
    rng = np.random.default_rng(0)
    for residue in lacking:
        push = gemmi.Position(*rng.normal(0, 2.5, 3).tolist())
        for atom in residue:
            atom.pos += push
    model = model_of(chain, lacking)
    assert with_copies(model, P1) == (model, frozenset())
