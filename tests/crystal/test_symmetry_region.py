"""Copies of positions and the regions that hold each point of a crystal once."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.region import choose_region
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import OptionError

CELLS = {
    "triclinic": (41, 55, 70, 80, 100, 112),
    "monoclinic": (40, 90, 50, 90, 117, 90),
    "orthorhombic": (30, 60, 150, 90, 90, 90),
    "tetragonal": (60, 60, 110, 90, 90, 90),
    "trigonal": (70, 70, 160, 90, 90, 120),
    "hexagonal": (70, 70, 60, 90, 90, 120),
    "cubic": (100, 100, 100, 90, 90, 90),
}
#: The reference setting of each of the 65 space groups of chiral molecules.
SOHNCKE = [sg for sg in gemmi.spacegroup_table() if sg.is_sohncke() and sg.is_reference_setting()]


def empty_map(spacegroup: gemmi.SpaceGroup, cell: tuple[float, ...] | None = None) -> DensityMap:
    cell = cell or CELLS[spacegroup.crystal_system_str()]
    return DensityMap(np.zeros((24, 24, 24), np.float32), MapGrid(gemmi.UnitCell(*cell), spacegroup, (24, 24, 24)))


def test_there_are_65_space_groups_of_proteins() -> None:
    assert len(SOHNCKE) == 65


@pytest.mark.parametrize("spacegroup", SOHNCKE, ids=lambda sg: sg.xhm())
def test_the_asymmetric_unit_holds_each_point_once(spacegroup: gemmi.SpaceGroup) -> None:
    region = choose_region(empty_map(spacegroup), "asu")
    symmetry = region.symmetry
    points = symmetry.to_orthogonal(np.random.default_rng(1).random((150, 3)))
    images = symmetry.images_in_box(points, region.low, region.high)
    owned = region.contains(images.positions)
    np.testing.assert_array_equal(np.bincount(images.index[owned], minlength=len(points)), 1)
    volume = symmetry.cell.volume / len(symmetry)
    assert np.prod(region.high - region.low) < 6 * volume


def test_the_cell_region_holds_every_copy() -> None:
    density = empty_map(gemmi.SpaceGroup("P 21 21 21"))
    asu, cell = choose_region(density, "asu"), choose_region(density, "cell")
    rng = np.random.default_rng(2)
    points = asu.symmetry.to_orthogonal(rng.random((50, 3)))
    images = asu.symmetry.images_in_box(points, cell.low, cell.high)
    owned = cell.contains(images.positions)
    np.testing.assert_array_equal(np.bincount(images.index[owned], minlength=50), 4)


def test_a_box_map_is_worked_on_as_it_is() -> None:
    density = empty_map(gemmi.SpaceGroup("P 1"))
    density = replace(density, grid=replace(density.grid, start=(2, -3, 5), origin=(10.0, 0.0, -4.0)), periodic=False)
    region = choose_region(density, "auto")
    assert region.name == "box"
    first = region.symmetry.to_orthogonal(np.array([2, -3, 5]) / 24) + [10.0, 0.0, -4.0]
    assert region.contains(first[None])[0]
    with pytest.raises(OptionError, match="covers only a box"):
        choose_region(density, "asu")


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, len(SOHNCKE) - 1),
    seed=st.integers(0, 10_000),
)
def test_undo_reverses_every_image(number: int, seed: int) -> None:
    spacegroup = SOHNCKE[number]
    symmetry = Symmetry(gemmi.UnitCell(*CELLS[spacegroup.crystal_system_str()]), spacegroup)
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 60, (5, 3))
    low = rng.normal(0, 50, 3)
    images = symmetry.images_in_box(points, low, low + rng.uniform(5, 90, 3))
    back = symmetry.undo(images.positions, images.operation, images.shift)
    np.testing.assert_allclose(back, points[images.index], atol=1e-6)
    again = symmetry.apply(points[images.index], images.operation, images.shift)
    np.testing.assert_allclose(again, images.positions, atol=1e-6)


def test_images_are_those_that_gemmi_finds() -> None:
    cell, spacegroup = gemmi.UnitCell(*CELLS["trigonal"]), gemmi.SpaceGroup("P 32 2 1")
    symmetry = Symmetry(cell, spacegroup)
    point = np.array([[12.0, 20.0, 33.0]])
    low, high = np.array([-40.0, -40.0, -40.0]), np.array([90.0, 90.0, 90.0])
    images = symmetry.images_in_box(point, low, high)
    reference = gemmi.Position(*point[0])
    moved = [
        cell.orthogonalize(gemmi.Fractional(*op.apply_to_xyz(cell.fractionalize(reference).tolist())))
        for op in spacegroup.operations()
    ]
    for position in images.positions:
        distances = [cell.find_nearest_image(gemmi.Position(*position), m, gemmi.Asu.Any).dist() for m in moved]
        assert min(distances) == pytest.approx(0.0, abs=1e-4)
    assert len(images) == pytest.approx(130**3 / cell.volume * 6, rel=0.5)
