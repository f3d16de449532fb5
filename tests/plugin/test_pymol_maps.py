"""Maps of every kind that a session can hold: a right result or a clear refusal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chempy.brick
import gemmi
import numpy as np
import pytest
from pymol import CmdException
from scipy.spatial import cKDTree
from test_pymol_end_to_end import atoms, vertices

from edseg_engine.io.read import read_map
from places import CRYSTAL, ROOT
from pretend_engine import WAITS, pretend_engine
from pymol_edseg.runner import pump
from pymol_edseg.state import state_of


def positions(cmd: Any, name: str) -> np.ndarray:
    return np.array([a.coord for a in sorted(atoms(cmd, f"{name}_sites"), key=lambda a: int(a.resi))])


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Rounding may swap two proposals of nearly the same confidence, and at most one in thirty may change."""
    assert len(found) == len(expected)
    assert (cKDTree(found).query(expected)[0] < 0.05).mean() > 0.9


def engine_positions(file: Path, folder: Path, *options: str) -> np.ndarray:
    """Run the command line on a file, past PyMOL."""
    command = [sys.executable, "-m", "edseg_engine", "segment", str(file), "--out", str(folder), "--progress", "none"]
    subprocess.run([*command, *options], check=True, capture_output=True, cwd=ROOT)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return np.array([residue["position"] for residue in result["residues"]])


def finish(cmd: Any) -> None:
    run = state_of(cmd).run
    assert run is not None
    end = time.monotonic() + 60
    while run.active and time.monotonic() < end:
        run.wait(0.1)
        pump(cmd)
    assert run.status.state == "done", run.status


def test_map_that_is_not_normalised(loaded: Any, map_file: Path) -> None:
    cmd, before = loaded, positions(loaded, "edseg_1")
    cmd.set("normalize_ccp4_maps", 0)
    cmd.load(str(map_file), "raw")
    assert cmd.edseg_segment("raw", 2.0, 95, orientations=1) == "edseg_2"
    assert_same(positions(cmd, "edseg_2"), before)
    # The level of an unnormalised map is in its own units, and so is that of the surfaces.
    found = state_of(cmd).results["edseg_2"].data
    assert cmd.isolevel("edseg_2_surface", query=1) == pytest.approx(found.mean + 1.5 * found.sd, rel=1e-3)


@pytest.fixture(scope="module")
def monoclinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped protein in a monoclinic crystal, its asymmetric unit as a CCP4 file with non-zero start."""
    structure = gemmi.read_structure(str(CRYSTAL / "model.cif.gz"))
    structure.remove_ligands_and_waters()
    structure.cell = gemmi.UnitCell(52, 44, 47, 90, 112, 90)
    structure.spacegroup_hm = "P 1 21 1"
    structure.setup_cell_images()
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate = 2.2, 1.5
    calculator.set_grid_cell_and_spacegroup(structure)
    calculator.put_model_density_on_grid(structure[0])
    factors = gemmi.transform_map_to_f_phi(calculator.grid).prepare_asu_data(dmin=2.2)
    ccp4 = gemmi.Ccp4Map()
    ccp4.grid = factors.transform_f_phi_to_map(sample_rate=3)
    ccp4.update_ccp4_header()
    box = gemmi.FractionalBox()
    box.minimum, box.maximum = gemmi.Fractional(-0.3, 0.2, -0.1), gemmi.Fractional(0.71, 0.71, 0.91)
    ccp4.set_extent(box)
    path = tmp_path_factory.mktemp("monoclinic") / "monoclinic.ccp4"
    ccp4.write_ccp4_map(str(path))
    return path


def test_monoclinic_map(cmd: Any, monoclinic: Path, tmp_path: Path) -> None:
    cmd.load(str(monoclinic), "p21")
    assert cmd.edseg_segment("p21", 2.2, 95, orientations=1) == "edseg_1"
    expected = engine_positions(
        monoclinic, tmp_path / "out", "--resolution", "2.2", "--residues", "95", "--orientations", "1"
    )
    assert_same(positions(cmd, "edseg_1"), expected)
    voxels = np.array([a.coord for a in atoms(cmd, "edseg_1_voxels")])
    points = vertices(cmd, "edseg_1_surface")
    assert len(points) > 500
    assert cKDTree(voxels).query(points)[0].max() < 1.11
    # The surface goes round the true residues, wherever the crystal's symmetry has put them.
    grid = gemmi.read_ccp4_map(str(monoclinic), setup=True).grid
    inside = [grid.interpolate_value(gemmi.Position(*x)) for x in voxels.tolist()]
    outside = np.array(grid.array)
    assert np.mean(inside) > outside.mean() + outside.std()


def test_state_that_is_shown_of_a_map_that_was_moved(
    cmd: Any, map_file: Path, monoclinic: Path, finished_run: Path
) -> None:
    cmd.load(str(monoclinic), "density", 1)
    cmd.load(str(map_file), "density", 2)
    cmd.set("state", 2, "density")
    cmd.translate([30, 0, 0], object="density")
    cmd.rotate("x", 40, object="density", camera=0)
    cmd.edseg_segment("density", 2.0, 95, orientations=1)
    result = json.loads((finished_run / "result/result.json").read_text(encoding="utf-8"))
    raw = np.array([residue["position"] for residue in result["residues"]])
    matrix = np.array(cmd.get_object_matrix("density")).reshape(4, 4)
    cmd.edseg_goto(5)
    assert len(vertices(cmd, "edseg_1_part")) > 10
    for name in ("edseg_1_sites", "edseg_1_surface", "edseg_1_trace", "edseg_1_mesh", "edseg_1_here"):
        assert cmd.get_object_ttt(name) == pytest.approx(cmd.get_object_ttt("density"), abs=1e-4)
    assert_same(positions(cmd, "edseg_1"), raw @ matrix[:3, :3].T + matrix[:3, 3])
    cmd.edseg_overview()
    points = vertices(cmd, "edseg_1_surface")
    assert len(points) > 100
    assert cKDTree(positions(cmd, "edseg_1")).query(points)[0].max() < 9
    cmd.edseg_accept("1-3")
    np.testing.assert_allclose(cmd.get_object_matrix("edseg_1_model"), matrix.ravel(), atol=1e-4)
    with pytest.raises(CmdException, match="moved"):
        cmd.edseg_segment("density", selection="edseg_1_sites", orientations=1)


def test_map_deleted_while_the_run_goes_on(
    cmd: Any, map_file: Path, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmd.load(str(map_file), "density")
    monkeypatch.setenv("EDSEG_PYTHON", str(pretend_engine(tmp_path / "engine", WAITS)))
    shutil.copytree(finished_run / "result", tmp_path / "engine/result")
    cmd.edseg_segment("density", 2.0, 95, async_=1)
    with pytest.raises(CmdException, match="still running"):
        cmd.edseg_segment("density", 2.0)
    cmd.delete("density")
    (tmp_path / "engine/go on").touch()
    finish(cmd)
    assert cmd.count_atoms("edseg_1_sites") == 95
    assert len(vertices(cmd, "edseg_1_surface")) > 100
    cmd.edseg_next()
    assert cmd.get_extent("edseg_1_mesh")[0] == pytest.approx([x - 9 for x in cmd.get_position()], abs=0.1)


def test_box_around_a_selection(loaded: Any) -> None:
    cmd = loaded
    everything = positions(cmd, "edseg_1")
    cmd.select("near", "edseg_1_sites and (resi 10 around 8 or resi 10)")
    low, high = (np.array(corner) for corner in cmd.get_extent("near"))
    assert cmd.edseg_segment("density", selection="near", buffer=3, resolution=2.0, orientations=1) == "edseg_2"
    found = positions(cmd, "edseg_2")
    assert 5 < len(found) < np.prod(high - low + 6) / 80  # Å³; a residue takes about 130
    assert ((found > low - 8) & (found < high + 8)).all()
    inside = everything[((everything > low) & (everything < high)).all(1)]
    assert (cKDTree(found).query(inside)[0] < 1.5).mean() > 0.7
    with pytest.raises(CmdException, match="no atoms"):
        cmd.edseg_segment("density", 2.0, selection="none")


def test_brick_with_an_origin(loaded: Any) -> None:
    cmd = loaded
    everything = positions(cmd, "edseg_1")
    low, high = everything.min(0) - 4, everything.max(0) + 4
    shape = tuple(int(n) for n in np.ceil((high - low) / 0.7))
    values = read_map(CRYSTAL / "data.mtz.gz").sample(low, None, shape, 0.7)
    cmd.load_brick(chempy.brick.Brick.from_numpy(values, (0.7, 0.7, 0.7), origin=low.tolist()), "brick")
    cmd.edseg_segment("brick", 2.0, orientations=1)
    found = positions(cmd, "edseg_2")
    assert (cKDTree(found).query(everything)[0] < 1.5).mean() > 0.8
    voxels = np.array([a.coord for a in atoms(cmd, "edseg_2_voxels")])
    points = vertices(cmd, "edseg_2_surface")
    assert len(points) > 100
    assert cKDTree(voxels).query(points)[0].max() < 1.11


def test_map_that_was_never_filled(cmd: Any) -> None:
    cmd.fragment("trp")
    cmd.map_new("calculated", "gaussian", 0.5, "trp", 4)
    try:
        name = cmd.edseg_segment("calculated", 2.0, orientations=1)
    except CmdException as error:
        assert "calculated" in str(error)  # noqa: PT017 (either is right)
        assert not [n for n in cmd.get_names("all") if n.startswith("edseg")]
    else:
        assert cmd.get_names("objects").count(f"{name}_sites") == 1
