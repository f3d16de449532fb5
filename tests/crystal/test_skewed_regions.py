"""Asymmetric units of every setting, in ordinary and strongly skewed cells."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from symmetric_cells import SETTINGS, symmetric_cell

#: Ordinary, long, flat, and strongly skewed ones where the symmetry allows it.
CELLS = (
    (41.0, 55.0, 70.0, 80.0, 100.0, 112.0),
    (20.0, 30.0, 300.0, 80.0, 100.0, 95.0),
    (200.0, 150.0, 25.0, 80.0, 100.0, 112.0),
    (60.0, 70.0, 80.0, 35.0, 40.0, 50.0),
    (30.0, 90.0, 200.0, 75.0, 80.0, 25.0),
)


def asymmetric_unit(cell: gemmi.UnitCell, spacegroup: gemmi.SpaceGroup, name: str = "asu") -> Region:
    return choose_region(DensityMap(np.zeros((8, 8, 8), np.float32), MapGrid(cell, spacegroup, (8, 8, 8))), name)


def assert_tiles_the_crystal(region: Region) -> None:
    symmetry = region.symmetry
    volume = symmetry.cell.volume / len(symmetry)
    assert ConvexHull(region.corners).volume == pytest.approx(volume, rel=1e-6)
    points = symmetry.to_orthogonal(np.random.default_rng(1).random((40, 3)))
    images = symmetry.images_in_box(points, region.low, region.high)
    owned = region.contains(images.positions)
    np.testing.assert_array_equal(np.bincount(images.index[owned], minlength=len(points)), 1)


@pytest.mark.parametrize("spacegroup", SETTINGS, ids=lambda sg: sg.xhm())
def test_the_asymmetric_unit_tiles_the_crystal(spacegroup: gemmi.SpaceGroup) -> None:
    for parameters in CELLS:
        assert_tiles_the_crystal(asymmetric_unit(symmetric_cell(spacegroup, parameters), spacegroup))


@pytest.mark.parametrize("gamma", [5, 20, 90, 160, 175])
@pytest.mark.parametrize("spacegroup", ["P 1", "P 1 1 2", "C 1 2 1", "R 3:R"])
def test_extreme_angles(spacegroup: str, gamma: float) -> None:
    group = gemmi.SpaceGroup(spacegroup)
    cell = {
        "P 1": gemmi.UnitCell(30, 220, 90, 90, 90, gamma),
        "P 1 1 2": gemmi.UnitCell(30, 220, 90, 90, 90, gamma),
        "C 1 2 1": gemmi.UnitCell(30, 90, 220, 90, gamma, 90),
        "R 3:R": gemmi.UnitCell(90, 90, 90, *[min(gamma, 115)] * 3),
    }[spacegroup]
    assert_tiles_the_crystal(asymmetric_unit(cell, group))


def test_the_cell_region_of_a_skewed_cell() -> None:
    assert_tiles_the_crystal(asymmetric_unit(gemmi.UnitCell(30, 90, 200, 75, 80, 25), gemmi.SpaceGroup("P 1"), "cell"))


@pytest.mark.parametrize("spacegroup", SETTINGS, ids=lambda sg: sg.xhm())
def test_rounding_of_the_cell_does_not_move_the_region(spacegroup: gemmi.SpaceGroup) -> None:
    cell = symmetric_cell(spacegroup, (41.37, 155.13, 70.71, 80, 100, 112))
    single = gemmi.UnitCell(*(float(np.float32(x)) for x in cell.parameters))
    one, other = asymmetric_unit(cell, spacegroup), asymmetric_unit(single, spacegroup)
    np.testing.assert_allclose(one.centres[0], other.centres[0], atol=1e-3)
    np.testing.assert_allclose(one.low, other.low, atol=1e-3)
    np.testing.assert_allclose(one.high, other.high, atol=1e-3)


def test_reflections_and_their_converted_map_are_worked_on_alike(tmp_path: Path) -> None:
    # In this cell the nearest copy of most points is a lattice translation, so that many centres are equally good.
    spacegroup, cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(31.37, 65.13, 80.71, 90, 90, 90)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = spacegroup
    mtz.set_cell_for_all(cell)
    mtz.add_dataset("crystal")
    mtz.add_column("FWT", "F")
    mtz.add_column("PHWT", "P")
    hkl = gemmi.make_miller_array(cell, spacegroup, 4.0)
    values = np.random.default_rng(0).random((len(hkl), 2)) * [100, 360]
    mtz.set_data(np.concatenate([hkl, values], axis=1).astype(np.float32))
    mtz.write_to_file(str(tmp_path / "data.mtz"))
    reflections = read_map(tmp_path / "data.mtz")
    write_ccp4(reflections.values, reflections.grid, tmp_path / "map.ccp4")
    converted = read_map(tmp_path / "map.ccp4")
    np.testing.assert_array_equal(converted.values, reflections.values)
    assert converted.cell.parameters == reflections.cell.parameters
    one, other = choose_region(reflections, "asu"), choose_region(converted, "asu")
    np.testing.assert_array_equal(one.centres, other.centres)
    np.testing.assert_array_equal(one.corners, other.corners)
