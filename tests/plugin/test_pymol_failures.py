"""What goes wrong leaves a sentence in the log, the session as it was, and nothing lost."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymol import CmdException

from full_disk import file_size_limit
from pretend_engine import WAITS, pretend_engine
from pymol_edseg import engine, storage
from pymol_edseg.runner import pump
from pymol_edseg.state import state_of


@pytest.fixture
def density(cmd: Any, map_file: Path) -> Any:
    cmd.load(str(map_file), "density")
    return cmd


def runs() -> list[Path]:
    return list(storage.runs_folder().iterdir()) if storage.runs_folder().exists() else []


def untouched(cmd: Any) -> bool:
    return cmd.get_names("all") == ["density"] and not runs()


def python_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_no_engine(density: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CmdException, match=re.escape(engine.INSTALL)):
        density.edseg_segment("density", 2.0)
    assert "not found" in density.edseg_status()["error"]
    assert untouched(density)


@pytest.mark.parametrize(
    ("command", "missing"), [("edseg_segment", "map_obj"), ("edseg_check density", "map_obj"), ("edseg_accept", "ids")]
)
def test_a_command_says_what_it_needs(
    density: Any, capfd: pytest.CaptureFixture[str], command: str, missing: str
) -> None:
    density.do(command)
    said = "".join(capfd.readouterr())
    assert f"missing a required argument: '{missing}'" in said
    assert f'"help {command.split()[0]}" tells how it is used' in said
    assert "TypeError" not in said
    assert untouched(density)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "python .* does not exist"),
        ("exit 3", "does not run edseg_engine"),
        ("echo edseg 9.3.0", "version 9.3.0, but the plugin is version 0.1.0"),
        (f"exec {sys.executable} -I -c 'import no_such_engine'", "No module named 'no_such_engine'"),
    ],
)
def test_wrong_engine(
    density: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, sentence: str
) -> None:
    python = tmp_path / "python"
    if script:
        python_script(python, script)
    monkeypatch.setenv("EDSEG_PYTHON", str(python))
    with pytest.raises(CmdException, match=sentence):
        density.edseg_segment("density", 2.0)
    assert density.edseg_status()["found by"] == "EDSEG_PYTHON"
    assert "error" in density.edseg_status()
    assert untouched(density)


@pytest.fixture
def waiting(density: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """PyMOL with a map, and an engine that goes on and on."""
    monkeypatch.setenv("EDSEG_PYTHON", str(pretend_engine(tmp_path / "engine", WAITS)))
    return density


def test_engine_that_was_killed(waiting: Any, capfd: pytest.CaptureFixture[str]) -> None:
    waiting.edseg_segment("density", 2.0, async_=1, orientations=1)
    density = waiting
    run = state_of(density).run
    assert run is not None
    deadline = time.monotonic() + 20
    while run._child is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "running" in density.edseg_status()
    assert run._child is not None
    os.kill(run._child.pid, signal.SIGKILL)
    run.wait(10)
    pump(density)
    assert run.status.state == "failed"
    assert "SIGKILL" in run.status.message
    assert "SIGKILL" in capfd.readouterr().out
    assert "SIGKILL" in density.edseg_status()["last message"]
    assert untouched(density)


def test_cancel_leaves_nothing(waiting: Any) -> None:
    density = waiting
    assert density.edseg_cancel() is False
    density.edseg_segment("density", 2.0, async_=1, orientations=1)
    run = state_of(density).run
    assert run is not None
    while run.status.stage != "network":
        time.sleep(0.05)
        pump(density)
    assert density.edseg_cancel() is True
    assert run.status.state == "cancelled"
    assert run._child is None or run._child.poll() is not None
    assert untouched(density)


def test_engine_that_ignores_being_stopped(density: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = 'if [ "$3" = --version ]; then echo edseg 0.1.0; exit; fi; trap "" TERM; while :; do sleep 0.1; done'
    monkeypatch.setenv("EDSEG_PYTHON", str(python_script(tmp_path / "python", script)))
    monkeypatch.setattr("pymol_edseg.engine_process._GRACE", 0.5)
    density.edseg_segment("density", 2.0, async_=1)
    time.sleep(0.5)
    assert density.edseg_cancel() is True
    assert untouched(density)


@contextmanager
def output_dropped() -> Iterator[None]:
    """Send what is printed to nowhere: the output of the tests may itself be a file that a limit would hit."""
    sys.stdout.flush()
    saved = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        for number, copy in enumerate(saved, start=1):
            os.dup2(copy, number)
            os.close(copy)


def test_full_disk_for_the_map(density: Any) -> None:
    with file_size_limit(10_000), pytest.raises(CmdException, match="Cannot write the map"):
        density.edseg_segment("density", 2.0)
    assert untouched(density)


def test_full_disk_for_the_results(density: Any, map_file: Path) -> None:
    with file_size_limit(map_file.stat().st_size + 50_000), pytest.raises(CmdException, match="Cannot write the res"):
        density.edseg_segment("density", 2.0, 95, orientations=1)
    assert untouched(density)


def test_full_disk_for_the_decisions(loaded: Any, capfd: pytest.CaptureFixture[str]) -> None:
    before = len(state_of(loaded).results["edseg_1"].journal.entries)
    with capfd.disabled(), output_dropped(), file_size_limit(100):
        assert loaded.edseg_accept("1-4") == (1, 2, 3, 4)
        assert loaded.edseg_reject("5") == (5,)
    assert len(state_of(loaded).results["edseg_1"].journal.entries) == before + 2
    assert loaded.count_atoms("edseg_1_model and name CA") == 4
    assert loaded.edseg_undo() == (5,)  # and now there is room again
    loaded.reinitialize()
    loaded.edseg_load()
    assert loaded.count_atoms("edseg_1_model and name CA") == 4


def test_engine_that_refuses(density: Any) -> None:
    with pytest.raises(CmdException, match="outside the"):
        density.edseg_segment("density", 9.0)
    assert untouched(density)


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("edseg_segment", ("nothing", 2.0), "no map object 'nothing'"),
        ("edseg_segment", ("nothing",), "no map object 'nothing'"),
        ("edseg_segment", ("density",), "resolution=2.8"),
        ("edseg_segment", ("density", "two"), "must be a number"),
        ("edseg_segment", ("density", 2.0, "", "no/such.fasta"), "neither a sequence file nor"),
        ("edseg_segment", ("density", 2.0, "", "", "", 5, "density"), "already"),
        ("edseg_segment", ("density", 2.0, "", "", "", 5, "", "tpu"), "device is one of"),
        ("edseg_segment", ("density", 2.0, *[""] * 2, "", 5, "", "auto", "auto", -1, "", "", 3), "with edseg_load_map"),
        ("edseg_accept", ("200",), "no proposal 200"),
        ("edseg_accept", ("7-3",), "lower number first"),
        ("edseg_accept", ("resn ZZZ",), "matches no proposal"),
        ("edseg_accept", ("1", "XYZ"), "not a residue type"),
        ("edseg_accept", ("1", "", "density"), "not a molecule"),
        ("edseg_accept", ("1", "", "", "edseg_9"), "no result 'edseg_9'"),
        ("edseg_relabel", ("1",), "not a residue type"),
        ("edseg_undo", (), "nothing to undo"),
        ("edseg_redo", (), "nothing to redo"),
        ("edseg_color", ("mood",), "by is one of"),
        ("edseg_show", ("BOGUS",), "'BOGUS' is not a residue class"),
        ("edseg_show", ("all", "high"), "must be a number"),
        ("edseg_label", ("{nonsense}",), "not a label format"),
        ("edseg_next", ("luck",), "by is one of"),
        ("edseg_next", ("chain", "accepted"), "no accepted proposal"),
        ("edseg_export", ("file.xyz",), "must end in"),
        ("edseg_export", ("no/such/folder/file.pdb",), "no folder"),
        ("edseg_export", ("file.pdb", "some"), "what is one of"),
        ("edseg_export", ("file.pdb", "accepted"), "no residue to export"),
        ("edseg_load", ("no/such/folder",), "Cannot read"),
        ("edseg_load_map", ("no/such/file.mtz",), "does not exist"),
    ],
)
def test_mistakes_of_the_user(
    loaded: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    arguments: tuple[Any, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    names, found = loaded.get_names("all"), state_of(loaded).results["edseg_1"].decisions()
    with pytest.raises(CmdException, match=sentence):
        getattr(loaded, command)(*arguments)
    assert loaded.get_names("all") == names
    assert state_of(loaded).results["edseg_1"].decisions() == found
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    assert len(runs()) == 1


def test_damaged_results(cmd: Any, tmp_path: Path) -> None:
    for text in ("", "[]", '{"schema": "edseg-result/9"}', '{"schema": "edseg-result/1", "residues": [{}]}'):
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
        with pytest.raises(CmdException, match=r"damaged|is not"):
            cmd.edseg_load(str(tmp_path))
    assert cmd.get_names("all") == []


def test_objects_that_the_user_deletes(loaded: Any) -> None:
    loaded.delete("edseg_1_voxels")
    with pytest.raises(CmdException, match="no density to draw"):
        loaded.edseg_show("LEU")
    assert loaded.edseg_reject("1-3") == (1, 2, 3)
    assert loaded.edseg_undo() == (1, 2, 3)
    loaded.delete("edseg_1_sites")
    with pytest.raises(CmdException, match="no result"):
        loaded.edseg_accept("1")
    assert loaded.edseg_status()["results"] == {}
    loaded.delete("edseg_1*")
    assert loaded.edseg_load() == "edseg_1"
