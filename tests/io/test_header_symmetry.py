"""The space group of a map: symmetry operators in its header say more than its number, which has no settings."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from ccp4_files import ccp4_bytes
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.errors import MapContentError
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from symmetric_cells import SETTINGS, symmetric_cell


def random_crystal(spacegroup: gemmi.SpaceGroup) -> DensityMap:
    """A map of the whole cell that has the symmetry of the space group."""
    grid = gemmi.FloatGrid()
    grid.set_unit_cell(symmetric_cell(spacegroup))
    grid.spacegroup = spacegroup
    grid.set_size_from_spacing(1.2, gemmi.GridSizeRounding.Up)
    grid.array[:] = np.random.default_rng(spacegroup.number).normal(size=grid.shape)
    grid.symmetrize_avg()
    return DensityMap(grid.array.copy(), MapGrid(grid.unit_cell, spacegroup, grid.shape))


def with_operators(density: DensityMap, number: int, lines: list[str]) -> bytes:
    text = "".join(line.ljust(80) for line in lines).encode()
    content = ccp4_bytes(
        density.values, density.cell, density.grid.sampling, spacegroup=number, symmetry_bytes=len(text)
    )
    return content[:1024] + text + content[1024 + len(text) :]


def test_there_are_109_settings() -> None:
    assert len(SETTINGS) == 109


@pytest.mark.parametrize("spacegroup", SETTINGS, ids=lambda sg: sg.xhm())
def test_every_setting_is_read_back(spacegroup: gemmi.SpaceGroup, tmp_path: Path) -> None:
    written = random_crystal(spacegroup)
    write_ccp4(written.values, written.grid, tmp_path / "m.ccp4")
    density = read_map(tmp_path / "m.ccp4")
    assert density.spacegroup.xhm() == spacegroup.xhm()
    assert density.periodic
    assert density.warnings == ()
    np.testing.assert_array_equal(density.values, written.values)


@pytest.mark.parametrize("number", [0, 1, 3, 5, 19, 401])
def test_operators_win_over_the_number(number: int, tmp_path: Path) -> None:
    spacegroup = gemmi.SpaceGroup("I 1 2 1")
    lines = [op.triplet().upper() for op in spacegroup.operations()]
    path = tmp_path / "i2.map"
    path.write_bytes(with_operators(random_crystal(spacegroup), number, lines))
    density = read_map(path)
    assert density.spacegroup.xhm() == "I 1 2 1"
    assert density.periodic
    assert bool(density.warnings) == (number not in (0, 1, 5))


def test_an_asymmetric_unit_is_expanded_by_the_operators(tmp_path: Path) -> None:
    spacegroup = gemmi.SpaceGroup("P 2 1 1")
    written = random_crystal(spacegroup)
    half = written.values[:, : written.grid.sampling[1] // 2 + 1]
    text = "X,Y,Z*X,-Y,-Z".ljust(80).encode()
    content = ccp4_bytes(half, written.cell, written.grid.sampling, spacegroup=3, symmetry_bytes=80)
    (tmp_path / "half.map").write_bytes(content[:1024] + text + content[1104:])
    density = read_map(tmp_path / "half.map")
    assert density.periodic
    np.testing.assert_allclose(density.values, written.values, atol=1e-6)


@pytest.mark.parametrize("lines", [["X,Y,Z"], ["X,Y,Z", "X,Y,Z"], ["something else"], ["X,Y,Z", "no operator"]])
def test_the_number_counts_where_there_are_no_operators(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "c2.map"
    path.write_bytes(with_operators(random_crystal(gemmi.SpaceGroup("C 1 2 1")), 5, lines))
    assert read_map(path).spacegroup.xhm() == "C 1 2 1"


def test_operators_of_no_known_space_group(tmp_path: Path) -> None:
    written = random_crystal(gemmi.SpaceGroup("P 1 2 1"))
    path = tmp_path / "shifted.map"
    path.write_bytes(with_operators(written, 3, ["X,Y,Z", "-X+1/8,Y,-Z"]))
    density = read_map(path)
    assert density.spacegroup.xhm() == "P 1"
    assert density.periodic
    assert "is read as P 1" in density.warnings[0]
    np.testing.assert_allclose(density.values, written.values, atol=1e-6)


def test_operators_have_to_fit_the_cell(tmp_path: Path) -> None:
    written = random_crystal(gemmi.SpaceGroup("P 1"))
    path = tmp_path / "skew.map"
    path.write_bytes(with_operators(written, 1, ["X,Y,Z", "-X,Y,-Z"]))
    with pytest.raises(MapContentError, match="does not fit its space group P 1 2 1"):
        read_map(path)
