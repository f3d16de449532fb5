"""The map of the next cycle knows what the model and the experiment know of the phases."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.next_map import next_map
from edseg_engine.building.records import MapFile
from edseg_engine.crystal.phasing import combined
from edseg_engine.io.mtz import hl_columns, map_columns, write_mtz
from edseg_engine.io.reflections import Amplitudes

CELL, SPACEGROUP = gemmi.UnitCell(30, 40, 50, 80, 90, 100), gemmi.SpaceGroup("P 1")


def test_phases_of_model_and_experiment_are_combined(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    miller = gemmi.make_miller_array(CELL, SPACEGROUP, 4.0)
    n = len(miller)
    f = rng.uniform(10, 100, n).astype(np.float32)
    model, experiment = (
        (rng.uniform(0.1, 0.9, n) * np.exp(1j * rng.uniform(0, 6, n))).astype(np.complex64) for _ in range(2)
    )
    experiment[::4] = 0
    columns = {
        "FP": ("F", f),
        "FOM": ("W", np.abs(model)),
        "PHFC": ("P", np.degrees(np.angle(model))),
        **map_columns(f * model),
    }
    write_mtz(tmp_path / "refined.mtz", CELL, SPACEGROUP, miller, columns)
    # The experiment names the Friedel mates of some reflections, and lacks a quarter of them.
    hl = np.stack([values for _, values in hl_columns(experiment).values()], 1).astype(np.float32)
    measured = np.flatnonzero(experiment)
    mates = np.where(measured % 2, -1, 1)[:, None]
    hl = hl[measured] * np.where(mates < 0, [1, -1, 1, -1], 1).astype(np.float32)
    amplitudes = Amplitudes(
        (miller[measured] * mates).astype(np.int32), f[measured], None, None, hl, CELL, SPACEGROUP, ()
    )
    refined = MapFile(tmp_path / "refined.mtz", "FWT", "PHWT")
    result = next_map(refined, amplitudes, tmp_path, 10, complete=True)
    data = gemmi.read_mtz_file(str(result.path)).get_f_phi(result.f, result.phi)
    expected = dict(zip(map(tuple, miller.tolist()), f * combined(experiment, model), strict=True))
    assert len(data.miller_array) == n
    wanted = np.array([expected[tuple(hkl)] for hkl in data.miller_array.tolist()])
    np.testing.assert_allclose(data.value_array, wanted, atol=0.5)


def test_without_an_experiment_it_is_the_map_of_the_refined_model(tmp_path: Path) -> None:
    nothing = np.zeros((0, 3), np.int32)
    amplitudes = Amplitudes(nothing, np.zeros(0, np.float32), None, None, None, CELL, SPACEGROUP, ())
    refined = MapFile(tmp_path / "refined.mtz", "FWT", "PHWT")
    assert next_map(refined, amplitudes, tmp_path, 10, complete=False) is refined
