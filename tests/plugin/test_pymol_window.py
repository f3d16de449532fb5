"""The panel in PyMOL's real window, on a screen of its own (Xvfb)."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edseg_engine.options import MOST_CYCLES
from places import MTZ
from pretend_engine import WAITS, pretend_engine
from pymol_edseg.palette import COLORS, rgb
from tools.made_up import write_many
from window import drive, screen

#: Set where these tests must run; what they need and do not find is then an error.
REQUIRED = "EDSEG_REQUIRE_WINDOW" in os.environ

pytestmark = [
    pytest.mark.skipif(not (REQUIRED or shutil.which("Xvfb")), reason="Xvfb is not installed (apt-get install xvfb)"),
    pytest.mark.skipif(
        not (REQUIRED or importlib.util.find_spec("PyQt5")), reason="PyQt5 is not installed (the extra pymol has it)"
    ),
]


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with screen() as name:
        yield name


def share_of_color(path: Path, color: str) -> float:
    """Return how much of a picture has the hue of a colour, whatever its shade."""
    pixels = np.asarray(Image.open(path).convert("RGB"), float).reshape(-1, 3) / 255
    bright = pixels[pixels.max(1) > 0.15]
    wanted = np.array(rgb(color))
    cosine = bright @ wanted / np.linalg.norm(bright, axis=1) / np.linalg.norm(wanted)
    return float((cosine > 0.995).sum() / len(pixels))


@pytest.fixture(scope="module")
def session(display: str, map_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("window")
    return folder, drive(display, folder, 900, scenario="whole way", map=str(map_file))


def test_errors_are_lines_of_text(session: tuple[Path, dict[str, Any]]) -> None:
    _, report = session
    assert report["startable without map"] is False
    assert "resolution" in report["error without resolution"]
    assert ".pdb" in report["export error"]
    assert report["pop-ups"] == []


def test_cancel_leaves_nothing(session: tuple[Path, dict[str, Any]]) -> None:
    _, report = session
    assert report["sequence chosen"] is True
    assert report["cancelled"] == {
        "state": "cancelled",
        "left": [],
        "objects": ["density", "mesh"],
        "startable": True,
    }


def test_progress_names_stages_and_the_window_stays_alive(session: tuple[Path, dict[str, Any]]) -> None:
    _, report = session
    assert any(stage.startswith("Starting the engine") for stage in report["stages"])
    assert any(stage.startswith("Running the network") for stage in report["stages"])
    assert report["longest pause of the run"] < 0.25  # of the whole run


def test_table_follows_filters_and_viewer(session: tuple[Path, dict[str, Any]]) -> None:
    _, report = session
    assert report["rows"] == 95
    assert "95 residues found" in report["message"]
    assert report["LEU rows"] == report["LEU expected"]
    assert 0 < report["sure rows"] == report["sure expected"] < 95
    assert report["centred"] is True


def test_decisions_by_key_and_button(session: tuple[Path, dict[str, Any]]) -> None:
    folder, report = session
    assert report["by key"] == ["accepted", "rejected", True]
    assert report["still centred"] is True
    assert report["undone"] == ["accepted", "", ""]
    assert report["redone"] == "rejected"
    assert report["model"] == 2
    assert report["exported"] is True
    assert (folder / "export.pdb").read_text(encoding="utf-8").count("ATOM  ") == 95


def test_keys_in_the_viewer(session: tuple[Path, dict[str, Any]]) -> None:
    _, report = session
    assert report["R in the viewer"] == ["rejected", [94]]
    assert report["moves in the viewer"] == [[93], [94], [95], [94]]
    assert report["meshes of the cell"] is False
    assert report["in focus"] == ["94"]
    assert report["map follows"] is True
    assert report["R in the overview"] == "undecided"


def test_many_decisions_at_once(session: tuple[Path, dict[str, Any]]) -> None:
    _, report = session
    assert report["accepted at once"] is True
    assert report["doubt"] is True
    assert report["status of a comment"] == "* rejected"


def test_surfaces_have_the_colors_of_their_classes(session: tuple[Path, dict[str, Any]]) -> None:
    folder, report = session
    assert report["no surface"] == []
    assert report["one surface"] == ["edseg_1_surface"]
    assert report["overview"] == []
    assert share_of_color(folder / "one_class.png", COLORS["LEU"]) > 0.002
    for label in ("LEU", "VAL/THR", "ASP/ASN", "LYS"):
        assert share_of_color(folder / "surfaces.png", COLORS[label]) > 0.002, label
    assert share_of_color(folder / "one_class.png", COLORS["LYS"]) < share_of_color(
        folder / "surfaces.png", COLORS["LYS"]
    )


def test_two_thousand_proposals(display: str, tmp_path: Path) -> None:
    run = write_many(tmp_path / "many", 2000)
    report = drive(display, tmp_path / "window", 400, scenario="many", what=str(run))
    # A decision must not draw everything anew.
    assert report["processor seconds for a decision"] < 0.5 * report["processor seconds to appear"]
    assert report["accepted"] == 7


@pytest.fixture(scope="module")
def script(
    display: str, map_file: Path, finished_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("script")
    engine = pretend_engine(folder / "engine", WAITS)
    shutil.copytree(finished_run / "result", folder / "engine/result")
    shutil.copyfile(map_file, folder / "engine/density.ccp4")
    given = {"map": str(map_file), "what": str(engine), "reflections": str(MTZ)}
    return folder, drive(display, folder / "window", 600, scenario="script", **given)


def test_script_in_the_window_waits_and_the_window_lives(script: tuple[Path, dict[str, Any]]) -> None:
    _, report = script
    assert report["accepted"] == 3
    assert report["beats while the script waited"] > 10


def test_cycles_are_offered_where_there_are_amplitudes(script: tuple[Path, dict[str, Any]]) -> None:
    _, report = script
    assert report["cycles allowed"] == [False, True, False]  # a bare map, one of a file, its whole cell
    assert report["cycles offered"] == [1, MOST_CYCLES]
    words = report["words of the run"]
    assert words[:2] == ["segment", str(MTZ)]
    assert words[words.index("--cycles") + 1] == "4"


def test_window_made_smaller_still_draws(script: tuple[Path, dict[str, Any]]) -> None:
    folder, report = script
    assert share_of_color(folder / "window/larger.png", COLORS["LEU"]) > 0.02
    assert share_of_color(folder / "window/smaller.png", COLORS["LEU"]) > 0.005
    assert report["references to None lost"] < 1000  # PySide6 6.12 takes one with each call, until Python ends
