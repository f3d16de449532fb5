"""Measured amplitudes tell what of a model is not there."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.phasing import Complex, Reflections, map_coefficients
from edseg_engine.crystal.structure_factors import structure_factors
from edseg_engine.dataset.experimental import ExperimentalCrystal
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.improvement import ReadResidues
from edseg_engine.improvement.expected import expected_model
from edseg_engine.improvement.occupancies import weighed
from edseg_engine.labels import N_LABELS
from phase_errors import phase_error

#: So many residues are invented.
FALSE = 15


@pytest.fixture(scope="module")
def measured(crystal: ExperimentalCrystal) -> Reflections:
    assert crystal.amplitudes is not None
    miller, f = crystal.amplitudes.cut(2.0).in_asymmetric_unit()
    return Reflections(
        crystal.amplitudes.cell, crystal.amplitudes.spacegroup, miller, f, np.zeros(len(f), np.complex64)
    )


@pytest.fixture
def model(crystal: ExperimentalCrystal) -> gemmi.Structure:
    """A model whose last residues are elsewhere, and half of whose classes are open."""
    known = crystal.residues
    atoms = known.points[:, 1:].copy()
    atoms[-FALSE:] = atoms[-FALSE:, :, [1, 2, 0]] + 7.0
    probabilities = 0.5 * np.eye(N_LABELS)[known.labels] + 0.5 / N_LABELS
    poor = crystal.initial_density(2.0, TYPICAL["mr"], np.random.default_rng(0))
    return expected_model(poor, ReadResidues(atoms, probabilities, np.full(len(atoms), 0.5)))


def error_of(coefficients: Complex, crystal: ExperimentalCrystal, measured: Reflections) -> float:
    """Mean error of phases in degrees, weighted with the amplitudes."""
    return phase_error(coefficients, map_coefficients(crystal.density(2.0), measured.miller), measured.amplitudes)


def main_chains(model: gemmi.Structure) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([residue["CA"][0].occ for residue in model[0][0]])


def test_residues_that_do_not_exist_lose_their_occupancy(model: gemmi.Structure, measured: Reflections) -> None:
    assert (main_chains(model) == 1).all()
    weighed(model, measured)
    there, invented = main_chains(model)[:-FALSE], main_chains(model)[-FALSE:]
    assert np.median(there) > 0.9
    assert np.median(invented) < 0.5
    assert there.max() <= 1.5


def test_atoms_of_a_group_stay_together(model: gemmi.Structure, measured: Reflections) -> None:
    before = [[atom.occ for atom in residue] for residue in model[0][0]]
    weighed(model, measured)
    factors = []
    for residue, occupancies in zip(model[0][0], before, strict=True):
        starts = [number for number, atom in enumerate(residue) if atom.name in ("N", "CB")]
        for group in np.split(np.array([atom.occ for atom in residue]) / occupancies, starts[1:]):
            assert np.ptp(group) < 1e-5
            factors.append(group[0])
    assert np.std(factors) > 0.1


def test_positions_are_those_of_the_cell_of_the_model(model: gemmi.Structure, measured: Reflections) -> None:
    """That of the amplitudes may differ a little, which is much in a large crystal."""
    for residue in model[0][0]:
        for atom in residue:
            atom.pos += model.cell.orthogonalize(gemmi.Fractional(3, 3, 2))
    other = replace(measured, cell=gemmi.UnitCell(*(1.008 * np.array(measured.cell.parameters[:3])), 90, 90, 120))
    same, differing = (weighed(model.clone(), each) for each in (measured, other))
    assert abs(np.corrcoef(same, differing)[0, 1]) > 0.995


def test_the_phases_are_better_for_it(
    model: gemmi.Structure, crystal: ExperimentalCrystal, measured: Reflections
) -> None:
    positions = [atom.pos.tolist() for residue in model[0][0] for atom in residue]
    _, as_believed = structure_factors(model, 2.0, 0.15, 45.0, measured.miller)
    better = weighed(model, measured)
    assert error_of(better, crystal, measured) < error_of(as_believed, crystal, measured) - 1.5
    assert [atom.pos.tolist() for residue in model[0][0] for atom in residue] == positions
