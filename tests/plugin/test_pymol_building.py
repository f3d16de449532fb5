"""Building a model from PyMOL: what the engine is asked, what becomes of its answer, and of its failures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pymol import CmdException

from places import MODEL, MTZ
from pretend_engine import pretend_engine
from pymol_edseg import storage
from pymol_edseg.resolutions import Reflections
from pymol_edseg.runner import pump
from pymol_edseg.state import state_of

BUILD = """
for stage in ("read", "segment", "trace", "build", "refine", "trace", "build", "refine", "polish", "write"):
    tell("progress", stage=stage, fraction=0.5, message="half")
shutil.copytree(here / "model", out)
tell("result", directory=str(out), residues=5, r_work=0.2, r_free=0.25, warnings=[])
"""


@pytest.fixture
def engine(cmd: Any, map_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """PyMOL with a map made of reflections, and an engine that pretends; returns a function that says what it does."""
    cmd.load(str(map_file), "density")
    state_of(cmd).resolutions.remember(cmd, "density", 2.0, Reflections.of(MTZ, ()))  # as edseg_load_map does
    folder = tmp_path / "engine"
    (folder / "model").mkdir(parents=True)
    python = pretend_engine(folder)
    (folder / "density.ccp4").write_bytes(map_file.read_bytes())
    cmd.load(str(MODEL), "known")
    cmd.save(str(folder / "model/model.cif"), "known and polymer and resi 30-34")
    cmd.delete("known")
    (folder / "model/model.mtz").write_bytes(b"reflections")
    write_report(folder)
    monkeypatch.setenv("EDSEG_PYTHON", str(python))

    def does(text: str) -> Path:
        (folder / "does.py").write_text(text, encoding="utf-8")
        return folder

    return does


def write_report(folder: Path, **changes: Any) -> None:
    probabilities = (1.0, 0.5, 0.0, None, 0.99)
    report = {
        "schema": "edseg-build/1",
        "cell": [45.4, 45.4, 87.9, 90, 90, 120],
        "spacegroup": "P 32 2 1",
        "resolution": 2.0,
        "r_work": 0.2,
        "r_free": 0.25,
        "warnings": ["The map is small."],
        "chains": [{"name": "A", "sequence": "ACDEFGH", "built": 5}],
        "residues": [
            {"chain": "A", "number": 30 + i, "docking_probability": p} for i, p in enumerate(probabilities)
        ],
    } | changes  # fmt: skip
    (folder / "model/build.json").write_text(json.dumps(report), encoding="utf-8")


def colors(cmd: Any, selection: str) -> dict[str, tuple[float, ...]]:
    found: dict[str, int] = {}
    cmd.iterate(selection, "found[resi] = color", space={"found": found})
    return {resi: cmd.get_color_tuple(color) for resi, color in found.items()}


def test_model_and_map_are_shown(cmd: Any, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = engine(BUILD)
    cmd.isomesh("cell", "density", 1.5)
    assert cmd.edseg_build("density", sequence="acdefgh", cycles=1, quiet=0) == "built_1"
    said = capsys.readouterr().out
    assert "5 of 7 residues built, R 0.200, R-free 0.250" in said
    assert "The map is small." in said
    assert said.count("Refining ...") == 2
    assert cmd.get_names("objects") == ["density", "cell", "built_1", "built_1_map", "built_1_mesh"]
    assert "cell" not in cmd.get_names("objects", 1)  # it would hide the model
    assert cmd.get_position() == pytest.approx(cmd.centerofmass("built_1"), abs=4)
    *cell, spacegroup = cmd.get_symmetry("built_1")
    assert cell == pytest.approx([45.4, 45.4, 87.9, 90, 90, 120], abs=1e-3)
    assert spacegroup == "P 32 2 1"
    assert state_of(cmd).resolutions.find(cmd, "built_1_map") == 2.0
    assert cmd.count_atoms("built_1 and rep sticks") == cmd.count_atoms("built_1")
    assert cmd.count_atoms("built_1 and rep cartoon") > 0
    of_carbon = colors(cmd, "built_1 and elem C")
    assert sum(of_carbon["30"]) > sum(of_carbon["31"]) > sum(of_carbon["32"])
    assert of_carbon["33"] == pytest.approx([0x9A / 255] * 3, abs=0.01)
    (run,) = storage.runs_folder().iterdir()
    assert (run / "result/model.mtz").exists()
    assert not (run / "map.ccp4").exists()
    assert json.loads((folder / "words.json").read_text(encoding="utf-8"))[0] == "convert"


def test_what_the_engine_is_asked(cmd: Any, engine: Any, map_file: Path) -> None:
    folder = engine(BUILD)
    (folder / "model/model.mtz").unlink()
    cmd.edseg_build("density", cycles=2, residues=95, orientations=1)
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    assert words[:2] == ["build", str(MTZ)]
    assert "--resolution" not in words
    assert " ".join(words[2:]).startswith("--device auto --orientations 1 --residues 95 --cycles 2 --out ")
    # Without the file, the map itself.
    cmd.set("normalize_ccp4_maps", 0)
    cmd.load(str(map_file), "other")
    write_report(folder, r_work=None, r_free=None)
    cmd.edseg_build("other", 2.5, "MKV", name="mine", color="chain")
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    assert words[1].endswith("map.ccp4")
    assert words[2:4] == ["--resolution", "2.5"]
    assert "for want of amplitudes" in cmd.edseg_status()["last message"]
    assert cmd.get_names("objects") == ["density", "built_1", "other", "mine"]
    assert len(set(colors(cmd, "mine and elem C").values())) == 1


def test_cycles_of_segmenting_read_the_file_of_the_map(
    cmd: Any, engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = engine('tell("progress", stage="cycles", fraction=0.5)\ntell("error", message="That is all.")')
    with pytest.raises(CmdException, match="That is all"):
        cmd.edseg_segment("density", residues=95, cycles=3, quiet=0)
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    assert words[:2] == ["segment", str(MTZ)]
    assert words[words.index("--cycles") + 1] == "3"
    assert "--resolution" not in words
    assert "Reading in cycles ..." in capsys.readouterr().out
    with pytest.raises(CmdException, match="That is all"):
        cmd.edseg_segment("density", 2.5, residues=95, cycles=1)
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    assert words[1].endswith("map.ccp4")
    assert "--cycles" not in words
    assert words[words.index("--resolution") + 1] == "2.5"


def test_what_the_user_made_meanwhile_stays(cmd: Any, engine: Any) -> None:
    engine(BUILD)
    cmd.edseg_build("density", async_=1)
    cmd.fragment("trp", "built_1")
    cmd.set("normalize_ccp4_maps", 0)
    cmd.set("auto_zoom", 0)
    run = state_of(cmd).run
    assert run is not None
    run.wait(20)
    pump(cmd)
    assert cmd.count_atoms("built_1 and resn TRP") == cmd.count_atoms("built_1")
    assert cmd.get_names("objects") == ["density", "built_1", "built_2", "built_2_map", "built_2_mesh"]
    # The mesh is at 1.5 standard deviations, whatever the settings are.
    assert cmd.get_volume_histogram("built_2_map", 1)[3] == pytest.approx(1, abs=0.01)
    assert (cmd.get("normalize_ccp4_maps"), cmd.get("auto_zoom")) == ("0", "0")
    cmd.delete("built_2")
    assert cmd.edseg_build("density") == "built_3"  # the map of built_2 is still there


def test_cancel_leaves_nothing(cmd: Any, engine: Any) -> None:
    engine("tell('progress', stage='build', fraction=0.5)\ntime.sleep(60)")
    cmd.edseg_build("density", async_=1)
    run = state_of(cmd).run
    assert run is not None
    deadline = time.monotonic() + 20
    while run.status.stage != "build" and time.monotonic() < deadline:
        time.sleep(0.05)
        pump(cmd)
    assert "built_1: build" in cmd.edseg_status()["running"]
    with pytest.raises(CmdException, match="built_1 is still running"):
        cmd.edseg_segment("density")
    assert cmd.edseg_cancel() is True
    assert run.status.state == "cancelled"
    assert cmd.get_names("all") == ["density"]
    assert list(storage.runs_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ("tell('error', message='This needs servalcat: pip install [build].'); sys.exit(12)", "This needs servalcat"),
        ("sys.exit('Traceback')", "exit code 1: Traceback"),
        (BUILD.replace('shutil.copytree(here / "model", out)', "out.mkdir()"), "cannot be read"),
        ("(here / 'model/build.json').write_text('{}')" + BUILD, "cannot be read"),
    ],
)
def test_failures_are_sentences(cmd: Any, engine: Any, does: str, sentence: str) -> None:
    engine(does)
    with pytest.raises(CmdException, match=sentence):
        cmd.edseg_build("density")
    assert cmd.get_names("all") == ["density"]
    assert list(storage.runs_folder().iterdir()) == []


def test_mistakes_of_the_user(cmd: Any, engine: Any) -> None:
    engine(BUILD)
    for arguments, sentence in (
        ({"sequence": "no/such.fasta"}, "neither a sequence file nor"),
        ({"cycles": "many"}, "must be a number"),
        ({"color": "mood"}, "color is one of"),
        ({"name": "density"}, "already"),
        ({"hand": "left"}, "no argument 'hand'"),
        ({"async": "yes"}, "async must be a number"),
    ):
        with pytest.raises(CmdException, match=sentence):
            cmd.edseg_build("density", **arguments)
    assert cmd.get_names("all") == ["density"]
    assert not storage.runs_folder().exists() or list(storage.runs_folder().iterdir()) == []
