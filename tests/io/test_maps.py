"""Map files: whatever the header says, an atom must be found where it is."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import gemmi
import numpy as np
import pytest

from atom_maps import ATOM, CELLS, SAMPLING, around_atom, atom_density, centroid, grid_values
from ccp4_files import ccp4_bytes, write_ccp4
from edseg_engine.errors import MapFormatError
from edseg_engine.io.read import read_map

EXTENTS = {
    "cell": ((0, 0, 0), SAMPLING),
    "cell, positive start": ((5, 3, 40), SAMPLING),
    "cell, negative start": ((-7, -40, -1), SAMPLING),
    "more than a cell": ((-3, 2, -8), (30, 40, 45)),
    "box": ((1, 8, 5), (20, 21, 25)),
    "box across the origin": ((-23, -27, -31), (24, 29, 32)),
}


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("cell_name", CELLS)
def test_atom_is_found_where_it_is(axes: tuple[int, int, int], extent: str, cell_name: str, tmp_path: Path) -> None:
    cell, (start, shape) = CELLS[cell_name], EXTENTS[extent]
    path = write_ccp4(tmp_path / "atom.ccp4", grid_values(cell, start, shape), cell, SAMPLING, start=start, axes=axes)
    density = read_map(path)
    assert density.periodic == (not extent.startswith("box"))
    shift = -np.array(cell.orth.mat) @ (1, 1, 1) if extent == "box across the origin" else np.zeros(3)
    origin = around_atom(cell, shift)
    sampled = density.sample(origin, None, (11, 11, 11), 0.5)
    assert sampled.dtype == np.float32
    points = origin - shift + 0.5 * np.stack(np.meshgrid(*[np.arange(11)] * 3, indexing="ij"), axis=-1)
    expected = atom_density(cell, points @ np.array(cell.frac.mat).T)
    inside = np.isfinite(sampled)
    assert inside.all() or not density.periodic
    assert inside.mean() > 0.7
    np.testing.assert_allclose(sampled[inside], expected[inside], atol=0.02)


@pytest.mark.parametrize("cell_name", CELLS)
def test_rotated_box(cell_name: str, tmp_path: Path) -> None:
    cell = CELLS[cell_name]
    density = read_map(write_ccp4(tmp_path / "m.map", grid_values(cell, (0, 0, 0), SAMPLING), cell, SAMPLING))
    rotation = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    atom = np.array(cell.orth.mat) @ ATOM
    index = np.array([4, 5, 7])
    sampled = density.sample(atom - rotation @ (0.4 * index), rotation, (9, 10, 15), 0.4)
    assert np.unravel_index(sampled.argmax(), sampled.shape) == tuple(index)
    assert sampled[4, 5, 7] == pytest.approx(1.0, abs=0.02)
    one_step = atom + rotation[:, 2] * 0.4
    assert sampled[4, 5, 8] == pytest.approx(density.sample(one_step, None, (1, 1, 1), 1.0)[0, 0, 0], abs=1e-5)


def test_periodic_map_is_read_across_cell_edges(tmp_path: Path) -> None:
    cell = CELLS["triclinic"]
    density = read_map(write_ccp4(tmp_path / "m.map", grid_values(cell, (0, 0, 0), SAMPLING), cell, SAMPLING))
    here = density.sample(around_atom(cell), None, (11, 11, 11), 0.5)
    far = density.sample(around_atom(cell, np.array(cell.orth.mat) @ (-3, 2, 1)), None, (11, 11, 11), 0.5)
    np.testing.assert_allclose(here, far, atol=1e-5)


def test_box_map_is_unknown_outside_its_box(tmp_path: Path) -> None:
    cell = CELLS["monoclinic"]
    start, shape = (3, 5, 4), (14, 20, 18)
    density = read_map(write_ccp4(tmp_path / "m.map", grid_values(cell, start, shape), cell, SAMPLING, start=start))
    points = np.array([[i, j, k] for i in (2.9, 3.0, 16.0, 16.1) for j in (5.0, 24.0) for k in (3.5, 21.0)])
    positions = points / SAMPLING @ np.array(cell.orth.mat).T
    known = [bool(np.isfinite(density.sample(p, None, (1, 1, 1), 1.0)[0, 0, 0])) for p in positions]
    assert known == [bool(3 <= i <= 16 and k >= 4) for i, _, k in points]
    corner = density.sample(np.array(cell.orth.mat) @ (np.array(start) / SAMPLING), None, (1, 1, 1), 1.0)
    assert corner[0, 0, 0] == pytest.approx(density.values[0, 0, 0], abs=1e-6)


def test_grid_points_are_read_exactly(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(12, 10, 8))
    cell = gemmi.UnitCell(12, 10, 8, 90, 90, 90)
    for spacegroup in (0, 1):
        path = write_ccp4(tmp_path / "m.mrc", values, cell, values.shape, spacegroup=spacegroup)
        np.testing.assert_allclose(read_map(path).sample((0, 0, 0), None, (12, 10, 8), 1.0), values, atol=1e-5)


def sohncke_groups() -> list[gemmi.SpaceGroup]:
    return [sg for sg in gemmi.spacegroup_table() if sg.is_reference_setting() and sg.is_sohncke()]


def test_there_are_65_sohncke_groups() -> None:
    assert len(sohncke_groups()) == 65


def cell_for(spacegroup: gemmi.SpaceGroup) -> gemmi.UnitCell:
    return {
        "triclinic": gemmi.UnitCell(14, 16, 18, 75, 100, 110),
        "monoclinic": gemmi.UnitCell(14, 16, 18, 90, 105, 90),
        "orthorhombic": gemmi.UnitCell(14, 16, 18, 90, 90, 90),
        "tetragonal": gemmi.UnitCell(15, 15, 18, 90, 90, 90),
        "trigonal": gemmi.UnitCell(15, 15, 18, 90, 90, 120),
        "hexagonal": gemmi.UnitCell(15, 15, 18, 90, 90, 120),
        "cubic": gemmi.UnitCell(16, 16, 16, 90, 90, 90),
    }[spacegroup.crystal_system_str()]


def random_crystal(spacegroup: gemmi.SpaceGroup, spacing: float = 0.9) -> gemmi.Ccp4Map:
    """A map of the whole cell that has the symmetry of the space group."""
    ccp4 = gemmi.Ccp4Map()
    ccp4.grid = gemmi.FloatGrid()
    ccp4.grid.set_unit_cell(cell_for(spacegroup))
    ccp4.grid.spacegroup = spacegroup
    ccp4.grid.set_size_from_spacing(spacing, gemmi.GridSizeRounding.Up)
    ccp4.grid.array[:] = np.random.default_rng(spacegroup.number).normal(size=ccp4.grid.shape)
    ccp4.grid.symmetrize_avg()
    return ccp4


@pytest.mark.parametrize("spacegroup", sohncke_groups(), ids=lambda sg: sg.hm.replace(" ", ""))
def test_asymmetric_unit_is_expanded_to_the_cell(spacegroup: gemmi.SpaceGroup, tmp_path: Path) -> None:
    ccp4 = random_crystal(spacegroup)
    cell_values = ccp4.grid.array.copy()
    ccp4.update_ccp4_header()
    ccp4.set_extent(gemmi.find_asu_brick(spacegroup).get_extent())
    ccp4.write_ccp4_map(str(tmp_path / "asu.ccp4"))
    assert spacegroup.number == 1 or ccp4.grid.point_count < cell_values.size
    density = read_map(tmp_path / "asu.ccp4")
    assert density.periodic
    assert density.spacegroup.number == spacegroup.number
    assert density.grid.start == (0, 0, 0)
    np.testing.assert_allclose(density.values, cell_values, atol=1e-5)


def test_rhombohedral_axes(tmp_path: Path) -> None:
    cell = gemmi.UnitCell(15, 15, 15, 80, 80, 80)
    path = write_ccp4(tmp_path / "r.map", grid_values(cell, (0, 0, 0), SAMPLING), cell, SAMPLING, spacegroup=146)
    assert read_map(path).spacegroup.xhm() == "R 3:R"


def test_box_of_a_crystal_that_leaves_gaps_stays_a_box(tmp_path: Path) -> None:
    cell, start, shape = CELLS["monoclinic"], (2, 4, 3), (10, 12, 14)
    path = write_ccp4(tmp_path / "box.map", grid_values(cell, start, shape), cell, SAMPLING, start=start, spacegroup=4)
    density = read_map(path)
    assert not density.periodic
    assert (density.values.shape, density.grid.start, density.grid.sampling) == (shape, start, SAMPLING)
    assert density.spacegroup.hm == "P 1 21 1"


def test_asymmetric_unit_on_a_grid_without_its_symmetry(tmp_path: Path) -> None:
    spacegroup, cell, sampling = gemmi.SpaceGroup("P 21"), CELLS["monoclinic"], (28, 35, 30)
    values = np.zeros(sampling)
    axes = [np.arange(n) / n for n in sampling]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    for op in spacegroup.operations():
        moved = points @ np.array(op.rot).T / op.DEN + np.array(op.tran) / op.DEN
        values += atom_density(cell, moved)
    path = write_ccp4(tmp_path / "odd.map", values[:, :18], cell, sampling, spacegroup=4)
    density = read_map(path)
    assert density.periodic
    np.testing.assert_allclose(density.values, values, atol=0.02)


def test_em_map_is_a_box(tmp_path: Path) -> None:
    cell = CELLS["cubic"]
    path = write_ccp4(tmp_path / "em.mrc", grid_values(cell, (0, 0, 0), SAMPLING), cell, SAMPLING, spacegroup=0)
    density = read_map(path)
    assert not density.periodic
    assert density.values.shape == SAMPLING


@pytest.mark.parametrize("start", [(0, 0, 0), (5, -3, 8)])
@pytest.mark.parametrize("spacegroup", [0, 1])
def test_mrc_origin_moves_positions_and_replaces_the_start(
    spacegroup: int, start: tuple[int, int, int], tmp_path: Path
) -> None:
    cell = CELLS["triclinic"]
    values = grid_values(cell, (0, 0, 0), SAMPLING, periodic=False)
    moved = (30.0, -12.5, 101.0)
    path = write_ccp4(tmp_path / "em.mrc", values, cell, SAMPLING, start=start, spacegroup=spacegroup, origin=moved)
    density = read_map(path)
    assert not density.periodic
    origin = around_atom(cell, np.array(moved))
    box = density.sample(origin, None, (11, 11, 11), 0.5)
    np.testing.assert_allclose(centroid(box, origin, 0.5), np.array(cell.orth.mat) @ ATOM + moved, atol=0.05)


def test_mrc_origin_of_a_crystal_is_ignored(tmp_path: Path) -> None:
    values = grid_values(CELLS["monoclinic"], (0, 0, 0), SAMPLING)
    path = write_ccp4(tmp_path / "m.map", values, CELLS["monoclinic"], SAMPLING, spacegroup=4, origin=(5.0, 5.0, 5.0))
    density = read_map(path)
    assert density.periodic
    assert density.grid.origin == (0, 0, 0)


def test_skew_translation_of_pymol(tmp_path: Path) -> None:
    # PyMOL exports a brick with space group 0, a cell one point smaller than the box, and LSKFLG.
    cell = gemmi.UnitCell(12, 12, 12, 90, 90, 90)
    values = np.zeros((25, 25, 25))
    values[10, 12, 15] = 1
    skew = (np.eye(3).ravel().tolist(), [-20.0, 7.5, 33.0])
    path = write_ccp4(tmp_path / "brick.ccp4", values, cell, (24, 24, 24), axes=(3, 2, 1), spacegroup=0, skew=skew)
    density = read_map(path)
    assert density.grid.origin == (-20.0, 7.5, 33.0)
    assert density.sample((-15.0, 13.5, 40.5), None, (1, 1, 1), 1.0)[0, 0, 0] == pytest.approx(1)


def test_skew_rotation_is_refused(tmp_path: Path) -> None:
    skew = ([0.0, -1, 0, 1, 0, 0, 0, 0, 1], [0.0, 0, 0])
    values = grid_values(CELLS["cubic"], (0, 0, 0), SAMPLING)
    path = write_ccp4(tmp_path / "skew.ccp4", values, CELLS["cubic"], SAMPLING, skew=skew)
    with pytest.raises(MapFormatError, match="skew rotation"):
        read_map(path)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12])
def test_modes_and_byte_orders(mode: int, byte_order: str, tmp_path: Path) -> None:
    values = np.round(100 * grid_values(CELLS["hexagonal"], (0, 0, 0), SAMPLING))
    path = write_ccp4(
        tmp_path / "m.mrc", values, CELLS["hexagonal"], SAMPLING, mode=mode, byte_order=byte_order, symmetry_bytes=160
    )
    density = read_map(path)
    assert density.values.dtype == np.float32
    np.testing.assert_array_equal(density.values, values)


@pytest.mark.parametrize("name", ["m.ccp4.gz", "m.map.gz", "m.mrc.gz", "no-extension"])
def test_compressed(name: str, tmp_path: Path) -> None:
    cell = CELLS["cubic"]
    content = ccp4_bytes(grid_values(cell, (0, 0, 0), SAMPLING), cell, SAMPLING)
    (tmp_path / name).write_bytes(gzip.compress(content))
    density = read_map(tmp_path / name)
    assert density.values.shape == SAMPLING
    assert density.source["file"] == name


def test_resolution_of_a_map_is_what_the_user_says(tmp_path: Path) -> None:
    cell = CELLS["cubic"]
    path = write_ccp4(tmp_path / "m.ccp4", grid_values(cell, (0, 0, 0), SAMPLING), cell, SAMPLING)
    assert read_map(path).d_min is None
    assert read_map(str(path), resolution=2.5).d_min == 2.5


def test_source_tells_what_was_read(tmp_path: Path) -> None:
    cell, (start, shape) = CELLS["monoclinic"], EXTENTS["box"]
    values = grid_values(cell, start, shape)
    source = read_map(write_ccp4(tmp_path / "m.ccp4", values, cell, SAMPLING, start=start)).source
    assert source["cell"] == [14, 17, 15, 90, 105, 90]
    assert (source["file"], source["format"], source["periodic"]) == ("m.ccp4", "CCP4/MRC", False)
    assert (source["start"], source["extent"], source["sampling"]) == (list(start), list(shape), list(SAMPLING))
    assert source["maximum"] == pytest.approx(values.max())
    assert source["sd"] == pytest.approx(values.std(), rel=1e-4)
    assert source["rms"] == pytest.approx(np.sqrt((values**2).mean()), rel=1e-4)
