"""What earlier maps said of a residue counts, in every symmetry copy, and only of the same residue."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from edseg_engine.building.evidence import pooled
from edseg_engine.building.records import BackboneResidues
from edseg_engine.crystal.symmetry import Symmetry

SYMMETRY = Symmetry(gemmi.UnitCell(40, 50, 60, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21"))


def residues(ca: np.ndarray, probabilities: np.ndarray) -> BackboneResidues:
    return BackboneResidues(np.repeat(ca[:, None], 5, 1), probabilities, np.ones(len(ca)), SYMMETRY)


def certain(classes: list[int], most: float) -> np.ndarray:
    p = np.full((len(classes), 17), (1 - most) / 16)
    p[np.arange(len(classes)), classes] = most
    return p


def test_types_are_agreed_upon_with_the_same_residues_of_an_earlier_map() -> None:
    here = np.array([[5.0, 6.0, 7.0], [15.0, 20.0, 30.0], [30.0, 40.0, 50.0]])
    operation = np.full(3, 2)
    there = SYMMETRY.apply(here + [[0.5, 0, 0], [3.0, 0, 0], [0, 0.6, 0]], operation, np.tile([1, 0, -1], (3, 1)))
    now, before = certain([1, 1, 1], 0.4), certain([5, 5, 1], 0.9)
    found = pooled(residues(here, now), residues(there[::-1], before[::-1]), 0.5).probabilities
    assert found.sum(1) == pytest.approx(1.0)
    assert found[0].argmax() == 5  # the surer reading wins
    assert found[1] == pytest.approx(now[1])  # 3 Å away is another residue
    assert 0.4 < found[2, 1] < 0.9  # two that agree are not surer than the surer of them


def test_without_weight_or_residues_nothing_changes() -> None:
    now = residues(np.array([[5.0, 6.0, 7.0]]), certain([1], 0.4))
    before = residues(np.array([[5.0, 6.0, 7.0]]), certain([5], 0.9))
    assert pooled(now, before, 0.0).probabilities == pytest.approx(now.probabilities)
    nothing = residues(np.zeros((0, 3)), np.zeros((0, 17)))
    assert pooled(now, nothing, 0.5) is now
    assert pooled(nothing, before, 0.5) is nothing
