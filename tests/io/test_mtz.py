"""MTZ files that the engine writes are those that it reads."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.io.mtz import hl_columns, map_columns, write_mtz
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from places import MTZ


def test_reflections_of_any_asymmetric_unit_give_the_same_map(tmp_path: Path) -> None:
    data = gemmi.read_mtz_file(str(MTZ)).get_f_phi("FWT", "PHWT")
    miller, values = data.miller_array, data.value_array
    operation = data.spacegroup.operations().sym_ops[1]
    moved = np.array([operation.apply_to_hkl(hkl) for hkl in miller.tolist()], np.int32)
    shifts = np.array([operation.phase_shift(hkl) for hkl in miller.tolist()])
    assert (moved != miller).any()
    maps = []
    for name, hkl, coefficients in (("own", miller, values), ("other", moved, values * np.exp(1j * shifts))):
        columns = map_columns(coefficients.astype(np.complex64))
        write_mtz(tmp_path / f"{name}.mtz", data.unit_cell, data.spacegroup, hkl, columns)
        maps.append(read_map(tmp_path / f"{name}.mtz").values)
    original = read_map(MTZ).values
    for density in maps:
        np.testing.assert_allclose(density, original, atol=1e-3 * original.std())


def test_amplitudes_and_experimental_phases_are_read_back(tmp_path: Path) -> None:
    spacegroup, cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(30, 40, 50, 90, 90, 90)
    miller = gemmi.make_miller_array(cell, spacegroup, 4.0)
    rng = np.random.default_rng(0)
    f = rng.uniform(10, 100, len(miller)).astype(np.float32)
    f[3] = np.nan
    phases = (rng.uniform(0.1, 0.9, len(f)) * np.exp(1j * rng.uniform(0, 6, len(f)))).astype(np.complex64)
    order = rng.permutation(len(miller))
    columns = {"F": ("F", f[order]), "SIGF": ("Q", 0.1 * f[order]), **hl_columns(phases[order])}
    write_mtz(tmp_path / "data.mtz", cell, spacegroup, miller[order], columns)
    read = read_amplitudes(tmp_path / "data.mtz")
    assert read is not None
    assert read.hl is not None
    assert len(read.f) == len(f) - 1
    known = {tuple(hkl): i for i, hkl in enumerate(miller.tolist())}
    index = [known[tuple(hkl)] for hkl in read.miller.tolist()]
    np.testing.assert_array_equal(read.f, f[index])
    np.testing.assert_allclose(np.angle(read.hl[:, 0] + 1j * read.hl[:, 1]), np.angle(phases[index]), atol=1e-4)
