"""Register shifts from what the residues look like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edseg_engine.checking.check import compare
from edseg_engine.checking.shifts import MOST, find_shifts, shifted_fit
from edseg_engine.labels import N_LABELS
from edseg_engine.residues.known import KnownResidues


def looks(labels: NDArray[np.intp], rng: np.random.Generator, rank1: float = 0.6) -> NDArray[np.float64]:
    """Return probabilities of which about `rank1` are right at rank 1, and that know it."""
    right = rng.random(len(labels)) < rank1
    shown = np.where(right, labels, rng.integers(N_LABELS, size=len(labels)))
    return (1 - rank1) / N_LABELS + rank1 * np.eye(N_LABELS)[shown]


def shifted(residues: KnownResidues, first: int, last: int, by: int) -> KnownResidues:
    """Return a model whose residues `first` to `last` have the types of those `by` further on."""
    labels, names = residues.labels.copy(), list(residues.names)
    for i in range(first, last + 1):
        labels[i] = residues.labels[i + by]
        names[i] = replace(names[i], type=residues.names[i + by].type)
    return replace(residues, labels=labels, names=tuple(names))


@pytest.mark.parametrize("by", [-5, -3, -1, 1, 2, 4])
def test_a_planted_shift_is_found_where_it_is(crystal_residues: KnownResidues, by: int) -> None:
    seen = np.ones(len(crystal_residues.labels), bool)
    found = 0
    for seed in range(5):
        probabilities = looks(crystal_residues.labels, np.random.default_rng(seed))
        checked, shifts = compare(shifted(crystal_residues, 20, 39, by), probabilities, seen)
        right = [shift for shift in shifts if shift.by == -by]
        found += bool(right)
        for shift in right:
            names = [residue.name for residue in checked]
            stretch = range(names.index(shift.first), names.index(shift.last) + 1)
            assert set(stretch) <= set(range(15, 45))
            assert all(checked[i].shift == -by for i in stretch)
            assert len(shift.built) == len(shift.fitting) == len(stretch)
    assert found >= 4


def test_a_right_model_has_no_shift(crystal_residues: KnownResidues) -> None:
    seen = np.ones(len(crystal_residues.labels), bool)
    alarms = 0
    for seed in range(30):
        probabilities = looks(crystal_residues.labels, np.random.default_rng(seed), rank1=0.4)
        alarms += len(compare(crystal_residues, probabilities, seen)[1])
    assert alarms <= 2


def test_density_that_fits_nowhere_is_not_a_shift(crystal_residues: KnownResidues) -> None:
    rng = np.random.default_rng(1)
    seen = np.ones(len(crystal_residues.labels), bool)
    anything = looks(rng.permutation(crystal_residues.labels), rng)
    assert len(compare(crystal_residues, anything, seen)[1]) <= 1


def test_residues_without_density_say_nothing(crystal_residues: KnownResidues) -> None:
    probabilities = looks(crystal_residues.labels, np.random.default_rng(0))
    seen = np.zeros(len(crystal_residues.labels), bool)
    checked, shifts = compare(shifted(crystal_residues, 30, 49, 2), probabilities, seen)
    assert shifts == ()
    assert all(residue.own is None and not residue.doubtful for residue in checked)


def test_the_sequence_is_counted_by_its_numbers() -> None:
    labels = np.arange(6) % N_LABELS
    fit = shifted_fit(np.eye(N_LABELS)[labels], labels, np.array([0, 1, 2, 5, 6, 7]))
    assert fit.shape == (6, 2 * MOST + 1)
    assert (fit[:, MOST] > 1).all()
    # Two places after the third residue lies what the model does not have.
    assert fit[2, MOST + 2] == 0
    assert fit[2, MOST + 3] < -1


def test_a_long_chain_is_quick_and_short_stretches_are_not_called() -> None:
    rng = np.random.default_rng(2)
    fit = rng.normal(-1, 0.5, (5000, 2 * MOST + 1))
    fit[:, MOST] = 2.0
    fit[100:103, MOST], fit[100:103, MOST + 1] = -3.0, 3.0
    fit[200:210, MOST], fit[200:210, MOST + 1] = -3.0, 3.0
    (shift,) = find_shifts(fit)
    assert (shift.first, shift.last, shift.by) == (200, 209, 1)
