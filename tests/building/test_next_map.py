"""The map of the next cycle knows what the model and the experiment know of the phases."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from edseg_engine.building.experiment import experimental_phases
from edseg_engine.building.next_map import next_map
from edseg_engine.building.records import MapFile
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import Complex, Reflections, combined, values_at
from edseg_engine.io.mtz import hl_columns, map_columns, write_mtz
from edseg_engine.io.reflections import Amplitudes
from phase_errors import phase_error
from places import MTZ

CELL, SPACEGROUP = gemmi.UnitCell(30, 40, 50, 80, 90, 100), gemmi.SpaceGroup("P 1")
#: A map of nothing.
EMPTY = DensityMap(np.zeros((8, 8, 8), np.float32), MapGrid(CELL, SPACEGROUP, (8, 8, 8)))


@pytest.mark.parametrize("measured", ["FP", "F_est"])
def test_phases_of_model_and_experiment_are_combined(tmp_path: Path, measured: str) -> None:
    rng = np.random.default_rng(0)
    miller = gemmi.make_miller_array(CELL, SPACEGROUP, 4.0)
    n = len(miller)
    f = rng.uniform(10, 100, n).astype(np.float32)
    model, experiment = (
        (rng.uniform(0.1, 0.9, n) * np.exp(1j * rng.uniform(0, 6, n))).astype(np.complex64) for _ in range(2)
    )
    experiment[::4] = 0
    columns = {
        measured: ("F", f if measured == "FP" else f * np.abs(model)),
        "FOM": ("W", np.abs(model)),
        "PHFC": ("P", np.degrees(np.angle(model))),
        **map_columns(np.where(np.arange(n) % 5, 1, -1) * f * model),  # 2mFo-DFc is negative here and there
    }
    write_mtz(tmp_path / "refined.mtz", CELL, SPACEGROUP, miller, columns)
    # The experiment names the Friedel mates of some reflections, and lacks a quarter of them.
    hl = np.stack([values for _, values in hl_columns(experiment).values()], 1).astype(np.float32)
    known = np.flatnonzero(experiment)
    mates = np.where(known % 2, -1, 1)[:, None]
    hl = hl[known] * np.where(mates < 0, [1, -1, 1, -1], 1).astype(np.float32)
    amplitudes = Amplitudes((miller[known] * mates).astype(np.int32), f[known], None, None, hl, CELL, SPACEGROUP, ())
    refined = MapFile(tmp_path / "refined.mtz", "FWT", "PHWT")
    result = next_map(refined, EMPTY, experimental_phases(amplitudes), tmp_path, 10, complete=True)
    data = gemmi.read_mtz_file(str(result.path)).get_f_phi(result.f, result.phi)
    expected = dict(zip(map(tuple, miller.tolist()), f * combined(experiment, model), strict=True))
    assert len(data.miller_array) == n
    wanted = np.array([expected[tuple(hkl)] for hkl in data.miller_array.tolist()])
    np.testing.assert_allclose(data.value_array, wanted, atol=0.5)


def test_phases_of_the_first_map_help_as_long_as_the_model_lacks_much(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    miller = gemmi.make_miller_array(CELL, SPACEGROUP, 3.0)
    truth = (rng.normal(size=len(miller)) + 1j * rng.normal(size=len(miller))).astype(np.complex64) * 50

    def disturbed(error: float) -> NDArray[np.complex64]:
        return (truth * np.exp(1j * np.radians(rng.normal(0, error, len(truth))))).astype(np.complex64)

    def error(coefficients: Complex) -> float:
        return phase_error(coefficients, truth, np.abs(truth))

    first, model = disturbed(60), disturbed(60)
    grid = gemmi.ComplexAsuData(CELL, SPACEGROUP, miller, first).transform_f_phi_to_map(sample_rate=3.0)
    start = DensityMap(np.array(grid.array), MapGrid(CELL, SPACEGROUP, grid.array.shape))
    columns = {
        "FP": ("F", np.abs(truth)),
        "FOM": ("W", np.full(len(truth), 0.5)),
        "PHFC": ("P", np.degrees(np.angle(model))),
        **map_columns(model),
    }
    write_mtz(tmp_path / "refined.mtz", CELL, SPACEGROUP, miller, columns)
    refined = MapFile(tmp_path / "refined.mtz", "FWT", "PHWT")
    result = next_map(refined, start, None, tmp_path, 10_000, complete=False)
    data = gemmi.read_mtz_file(str(result.path)).get_f_phi(result.f, result.phi)
    found = values_at(miller, data.miller_array, data.value_array, 0)
    assert error(found) < 0.85 * min(error(first), error(model))
    assert next_map(refined, start, None, tmp_path, 10_000, complete=True) is refined


def test_phases_of_an_incomplete_model_get_a_flatter_solvent(tmp_path: Path) -> None:
    mtz = gemmi.read_mtz_file(str(MTZ))
    data = mtz.get_f_phi("FWT", "PHWT")
    kept = (data.make_d_array() > 3.0) & np.isfinite(data.value_array)
    miller, truth = data.miller_array[kept], data.value_array[kept]
    rng, f = np.random.default_rng(2), np.abs(truth)
    model, phases = (
        (0.6 * np.exp(1j * (np.angle(truth) + rng.normal(0, 0.9, len(f))))).astype(np.complex64) for _ in range(2)
    )
    columns = {
        "FP": ("F", f),
        "FOM": ("W", np.abs(model)),
        "PHFC": ("P", np.degrees(np.angle(model))),
        **map_columns(f * model),
    }
    write_mtz(tmp_path / "refined.mtz", mtz.cell, mtz.spacegroup, miller, columns)
    refined = MapFile(tmp_path / "refined.mtz", "FWT", "PHWT")
    experiment = Reflections(mtz.cell, mtz.spacegroup, miller, f, phases)

    def error(residues: int) -> float:
        result = next_map(refined, EMPTY, experiment, tmp_path, residues, complete=False)
        found = gemmi.read_mtz_file(str(result.path)).get_f_phi(result.f, result.phi)
        return phase_error(values_at(miller, found.miller_array, found.value_array, 0), truth, f)

    assert error(95) < error(1000) - 2
