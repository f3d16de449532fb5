"""Experimental phases, and whether a map is theirs."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from edseg_engine.building.experiment import experimental_phases, is_of_experiment
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import with_flat_solvent
from edseg_engine.io.mtz import hl_columns
from edseg_engine.io.reflections import Amplitudes
from places import MTZ

#: Residues of the crystal's asymmetric unit.
RESIDUES = 95


@pytest.fixture(scope="module")
def truth() -> gemmi.ComplexAsuData:
    """Amplitudes and phases of the shipped crystal to 3 Å."""
    mtz = gemmi.read_mtz_file(str(MTZ))
    data = mtz.get_f_phi("FWT", "PHWT")
    kept = (data.make_d_array() > 3.0) & np.isfinite(data.value_array)
    return gemmi.ComplexAsuData(mtz.cell, mtz.spacegroup, data.miller_array[kept], data.value_array[kept])


def disturbed(truth: gemmi.ComplexAsuData, error: float) -> NDArray[np.complex64]:
    """Return phases as complex numbers of length 0.6, with normal errors (degrees); centric ones keep to their line."""
    errors = np.random.default_rng(0).normal(0, np.radians(error), len(truth.value_array))
    centric = truth.spacegroup.operations().centric_flag_array(truth.miller_array)
    errors[centric] = np.where(np.abs(errors[centric]) > np.pi / 2, np.pi, 0)
    return (0.6 * np.exp(1j * (np.angle(truth.value_array) + errors))).astype(np.complex64)


def measured(truth: gemmi.ComplexAsuData, phases: NDArray[np.complex64], intensities: bool = False) -> Amplitudes:
    hl = np.stack([values for _, values in hl_columns(phases).values()], 1).astype(np.float32)
    f = np.abs(truth.value_array)
    values = f**2 if intensities else f
    cell, spacegroup = truth.unit_cell, truth.spacegroup
    return Amplitudes(truth.miller_array, values, None, None, hl, cell, spacegroup, (), intensities)


def map_of(truth: gemmi.ComplexAsuData, values: NDArray[np.complex64]) -> DensityMap:
    data = gemmi.ComplexAsuData(truth.unit_cell, truth.spacegroup, truth.miller_array, values)
    grid = data.transform_f_phi_to_map(sample_rate=3.0)
    return DensityMap(np.array(grid.array), MapGrid(truth.unit_cell, truth.spacegroup, grid.array.shape))


def test_a_file_without_phases_has_no_experiment(truth: gemmi.ComplexAsuData) -> None:
    cell, spacegroup = truth.unit_cell, truth.spacegroup
    f = np.abs(truth.value_array)
    assert experimental_phases(Amplitudes(truth.miller_array, f, None, None, None, cell, spacegroup, ())) is None


def test_the_map_of_the_experiment_is_known_from_one_that_was_modified(truth: gemmi.ComplexAsuData) -> None:
    phases, f = disturbed(truth, 45), np.abs(truth.value_array)
    experiment = experimental_phases(measured(truth, phases))
    assert experiment is not None
    assert is_of_experiment(map_of(truth, (f * phases).astype(np.complex64)), experiment)
    assert not is_of_experiment(map_of(truth, truth.value_array), experiment)


def test_an_experiment_finer_than_the_map_is_compared_as_far_as_the_map_goes(truth: gemmi.ComplexAsuData) -> None:
    phases, f = disturbed(truth, 45), np.abs(truth.value_array)
    coarse = truth.make_d_array() > 6.0
    few = gemmi.ComplexAsuData(truth.unit_cell, truth.spacegroup, truth.miller_array[coarse], truth.value_array[coarse])
    experiment = experimental_phases(measured(truth, phases))
    assert experiment is not None
    density = replace(map_of(few, (f * phases).astype(np.complex64)[coarse]), d_min=6.0)
    assert is_of_experiment(density, experiment)
    assert not is_of_experiment(replace(map_of(few, few.value_array), d_min=6.0), experiment)


def test_columns_without_values_are_no_experiment(truth: gemmi.ComplexAsuData) -> None:
    amplitudes = measured(truth, disturbed(truth, 45))
    assert amplitudes.hl is not None
    assert experimental_phases(replace(amplitudes, hl=np.full_like(amplitudes.hl, np.nan))) is None


@pytest.mark.parametrize("intensities", [False, True])
def test_flat_solvent_brings_the_phases_nearer_to_the_truth(truth: gemmi.ComplexAsuData, intensities: bool) -> None:
    experiment = experimental_phases(measured(truth, disturbed(truth, 50), intensities))
    assert experiment is not None
    order = {tuple(hkl): value for hkl, value in zip(truth.miller_array.tolist(), truth.value_array, strict=True)}
    known = np.array([order[tuple(hkl)] for hkl in experiment.miller.tolist()])

    def agreement(values: NDArray[np.complex64]) -> float:
        """Return the correlation with the true map."""
        f = experiment.amplitudes * values
        return float((f * known.conj()).real.sum() / np.linalg.norm(f) / np.linalg.norm(known))

    flat = with_flat_solvent(experiment, RESIDUES)
    assert agreement(flat.centroids) > agreement(experiment.centroids) + 0.02
    np.testing.assert_allclose(experiment.amplitudes, np.abs(known), rtol=1e-3)
    # A crystal without room for solvent has none to flatten.
    assert with_flat_solvent(experiment, 100 * RESIDUES) is experiment
