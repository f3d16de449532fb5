"""A PyMOL without window, with the plugin in it, and one run of the engine that many tests look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from places import MTZ, ROOT

if "EDSEG_REQUIRE_WINDOW" not in os.environ:
    pytest.importorskip("pymol", reason="PyMOL is not installed (pip install '.[pymol]')")

import gemmi
import pymol

pymol.finish_launching(["pymol", "-ckq"])

from pymol import cmd as pymol_cmd  # noqa: E402

import pymol_edseg  # noqa: E402
from pymol_edseg import storage  # noqa: E402
from pymol_edseg.state import state_of  # noqa: E402

RESOLUTION, RESIDUES = 2.0, 95


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(storage.RUNS_VARIABLE, str(tmp_path / "runs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("EDSEG_PYTHON", raising=False)


@pytest.fixture
def cmd() -> Iterator[Any]:
    """An empty PyMOL session with the plugin's commands."""
    pymol_cmd.reinitialize()
    pymol_cmd.feedback("disable", "all", "everything")
    pymol_edseg.__init_plugin__()
    state = state_of(pymol_cmd)
    state.__init__()  # type: ignore[misc]
    yield pymol_cmd
    if state.run is not None:
        state.run.cancel()
        state.run.wait(10)


@pytest.fixture(scope="session")
def map_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped crystal's map as a CCP4 file of one asymmetric unit."""
    mtz = gemmi.read_mtz_file(str(MTZ))
    ccp4 = gemmi.Ccp4Map()
    ccp4.grid = mtz.transform_f_phi_to_map("FWT", "PHWT", sample_rate=3)
    ccp4.update_ccp4_header()
    ccp4.set_extent(gemmi.find_asu_brick(ccp4.grid.spacegroup).get_extent())
    path = tmp_path_factory.mktemp("map") / "crystal.ccp4"
    ccp4.write_ccp4_map(str(path))
    return path


@pytest.fixture(scope="session")
def finished_run(map_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a run on the shipped map leaves, as edseg_load reads it."""
    folder = tmp_path_factory.mktemp("finished")
    os.environ[storage.RUNS_VARIABLE] = str(folder)
    pymol_cmd.reinitialize()
    pymol_edseg.__init_plugin__()
    pymol_cmd.load(str(map_file), "density")
    pymol_cmd.edseg_segment("density", RESOLUTION, RESIDUES, device="cpu", orientations=1)
    (run,) = storage.kept_runs()
    return run


@pytest.fixture
def loaded(cmd: Any, map_file: Path, finished_run: Path, tmp_path: Path) -> Any:
    """PyMOL with the shipped map, "density", and the results of a run on it, "edseg_1"."""
    folder = shutil.copytree(finished_run, tmp_path / "runs" / "edseg_1-copy")
    cmd.load(str(map_file), "density")
    cmd.edseg_load(str(folder))
    return cmd
