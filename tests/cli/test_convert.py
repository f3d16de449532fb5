"""``edseg convert``: reflections as a map that other programs read."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.cli import main
from edseg_engine.io.read import read_map
from places import MTZ


def test_the_map_is_that_of_the_reflections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "map.ccp4"
    assert main(["convert", str(MTZ), str(output), "--progress", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["event"] == "result"
    assert told["resolution"] == pytest.approx(2.0, abs=0.05)
    ccp4 = gemmi.read_ccp4_map(str(output), setup=True)
    assert ccp4.grid.spacegroup.number == 154
    np.testing.assert_allclose(ccp4.grid.array, read_map(MTZ).values, atol=1e-6)
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(MTZ), str(tmp_path / "no/map.ccp4")]) == 8
    assert "Cannot write" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
