"""Files of others can do no harm, and damage takes no more than what is damaged."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from pymol import CmdException

from pymol_edseg import session, storage
from pymol_edseg.state import state_of

#: A session and a run's folder as the plugin wrote them with the first schema.
DATA = Path(__file__).with_name("data")
COMMAND = "GLY; system touch X"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder with 12 residues and decisions on some of them; the working directory is empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Path(shutil.copytree(DATA / "run-1", tmp_path / "runs" / "run"))


def change(path: Path, edit: Any) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    edit(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def labels(cmd: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    cmd.iterate("edseg_1_sites", "found[resi] = label", space={"found": found})
    return found


def assert_script_shows(cmd: Any, expected: dict[str, str]) -> None:
    """Export a script, and run it in an empty session: it draws the same labels, and does nothing else."""
    cmd.edseg_export("show.pml")
    for words in ("reinitialize", "@show.pml"):
        cmd.do(words)
    assert cmd.get_names("all") == ["edseg_1_sites"]
    assert labels(cmd) == expected
    assert [path.name for path in Path.cwd().iterdir()] == ["show.pml"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data["residues"][2]["ranks"][0].update(label=COMMAND),
        lambda data: data["residues"][2]["ranks"][2].update(label=COMMAND),
        lambda data: data.update(spacegroup=f"P 1\n{COMMAND}"),
        lambda data: data["residues"][2].update(id=1),
        lambda data: data["residues"][2].update(id="3"),
        lambda data: data["residues"][2].update(position=[1, math.nan, 2]),
        lambda data: data["residues"][2]["probabilities"].pop("ALA"),
        lambda data: data["residues"][2]["ranks"].pop(),
        lambda data: data.update(cell=[10, 10, 10, 90, 90, "90; quit"]),
        lambda data: data.update(warnings=["\x1b[2J"]),
    ],
)
def test_results_with_anything_but_residues_are_refused(cmd: Any, run: Path, edit: Any) -> None:
    change(run / "result/result.json", edit)
    with pytest.raises(CmdException, match="damaged"):
        cmd.edseg_load(str(run))
    assert cmd.get_names("all") == []


@pytest.mark.parametrize(
    "pattern",
    [
        "{label1}, {label2}",
        "{id}: {label} {p1:5.1f} %",
        f"{{label}} {COMMAND}",
        "{id}'); import os; os.system('touch X') #",
        '{id}"); import os; os.system("touch X")',
        "{id}\nsystem touch X",
        "{id}\\\nsystem touch X",
        "{id}\\",
        "[{id}, ({label1}",
        "Å {label1} 残\u2028基",
        "#{id}",
        "python end",
        "{{{id}}}",
    ],
)
def test_labels_are_nothing_but_text_in_scripts(cmd: Any, run: Path, pattern: str) -> None:
    change(run / "journal.json", lambda data: data["details"].update(label=pattern, min_confidence=0.0))
    cmd.edseg_load(str(run))
    expected = labels(cmd)
    assert len(set(expected.values())) > 2 or pattern == "python end"
    assert_script_shows(cmd, expected)


@pytest.mark.parametrize(
    "pattern", ["{id.__class__}", "{p1:999999999}", "{label!r}", "{p1:{id}}", "{0}", "{id", "{nonsense}", "x" * 1000]
)
def test_formats_of_labels_have_only_the_fields_of_proposals(cmd: Any, run: Path, pattern: str) -> None:
    change(run / "journal.json", lambda data: data["details"].update(label=pattern))
    cmd.edseg_load(str(run))
    assert state_of(cmd).results["edseg_1"].view.label == "focus"
    with pytest.raises(CmdException, match="not a label format"):
        cmd.edseg_label(pattern)


def test_journals_name_only_types_and_models(cmd: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(data: Any) -> None:
        entry = data["journal"]["entries"][0]
        evil = [{"identity": COMMAND}, {"model": COMMAND}, {"model": "all"}, {"status": COMMAND}, {"ids": [99]}]
        data["journal"]["entries"] += [{**entry, "ids": [7], **change} for change in evil]
        data["journal"]["position"] = 9

    change(run / "journal.json", edit)
    cmd.edseg_load(str(run))
    assert "5 of 9 decisions" in capsys.readouterr().out
    decisions = state_of(cmd).results["edseg_1"].decisions()
    assert decisions[7].status == "undecided"
    assert decisions[1].identity == "ILE"
    assert decisions[6].model == "other"
    names = labels(cmd)
    assert_script_shows(cmd, names)


def values_of(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all values of a JSON document."""
    inner = list(data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ())
    return [(*path, key) for key, _ in inner] + [p for key, value in inner for p in values_of(value, (*path, key))]


JUNK = [None, True, -1, 3, 2**70, 1e308, 0.5, "", "x", "all", COMMAND, [], [[]], {}, {"ids": 1}, [None], math.inf]


def damaged(text: str, rng: random.Random, kinds: int = 6) -> str:
    """Return a document with a value changed, removed or doubled, or (kinds 4 and 5) with its text changed or cut."""
    data = json.loads(text)
    kind = rng.randrange(kinds)
    if kind < 4:
        *path, key = rng.choice(values_of(data))
        parent = data
        for step in path:
            parent = parent[step]
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        else:
            parent[key] = copy.deepcopy(rng.choice(JUNK))
        return json.dumps(data)
    place = rng.randrange(len(text))
    return text[:place] + ("" if kind == 4 else chr(rng.randrange(1, 0x300)) + text[place + 1 :])


@pytest.mark.parametrize("schema", [1, 2])
def test_damaged_journals_do_not_take_the_result_away(
    cmd: Any, run: Path, schema: int, capsys: pytest.CaptureFixture[str]
) -> None:
    if schema == 2:
        cmd.edseg_load(str(run))
        cmd.delete("all")
    sound = (run / "journal.json").read_text(encoding="utf-8")
    assert json.loads(sound)["schema"] == f"edseg-session/{schema}"
    rng, told = random.Random(schema), 0
    for number in range(200):
        text = damaged(sound, rng)
        (run / "journal.json").write_text(text, encoding="utf-8")
        capsys.readouterr()
        assert cmd.edseg_load(str(run)) == "edseg_1", text
        assert cmd.count_atoms("edseg_1_sites") == 12
        said = capsys.readouterr().out
        kept = [path.read_text(encoding="utf-8") for path in run.glob("journal-damaged-*")]
        if "damaged" in said:
            told += 1
            # The plugin writes to the folder only what it has read from there or kept.
            assert text in (*kept, (run / "journal.json").read_text(encoding="utf-8"))
        if number % 10 == 0:
            cmd.edseg_accept("12")
            cmd.edseg_undo()
        cmd.delete("all")
        for path in run.glob("journal-damaged-*"):
            path.unlink()
    assert told > 100


def test_what_is_damaged_is_said_and_kept(cmd: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run / "journal.json", lambda data: data["journal"]["entries"][1].update(ids=["four"]))
    before = (run / "journal.json").read_text(encoding="utf-8")
    cmd.edseg_load(str(run))
    said = capsys.readouterr().out
    assert "1 of 4 decisions" in said
    assert "journal-damaged-1.json" in said
    assert (run / "journal-damaged-1.json").read_text(encoding="utf-8") == before
    statuses = [d.status for d in state_of(cmd).results["edseg_1"].decisions().values()]
    assert statuses == ["accepted"] * 3 + ["undecided"] * 9
    assert cmd.edseg_redo() == (6,)  # it was undone, and still is


def test_session_of_the_first_schema(cmd: Any, tmp_path: Path) -> None:
    cmd.load(str(DATA / "session-1.pse"))
    result = state_of(cmd).results["edseg_1"]
    assert result.map is not None
    assert (result.map.name, result.map.state, result.map.moved and result.map.moved[3]) == ("density", 1, 5)
    assert (result.view.color, result.view.label) == ("property", "{id}: {label} {p1:.0f} %")
    assert result.view.min_confidence == pytest.approx(40)
    assert (result.view.shown, result.view.level) == (("LEU", "PHE", "TRP", "TYR"), 0.8)
    assert [d.status for d in result.decisions().values()] == ["accepted"] * 3 + ["rejected"] + ["undecided"] * 8
    assert [result.identities()[n] for n in (1, 2, 3, 5)] == ["ILE", "ILE", "ILE", "THR"]
    before = labels(cmd)
    assert cmd.edseg_redo() == (6,)
    assert cmd.count_atoms("other") == 1
    cmd.edseg_undo()
    cmd.edseg_label("{id}: {label} {p1:.0f} %", 40)
    assert labels(cmd) == before
    # Saved again, it has the present schema; the folder of its run is gone, and a new one is made.
    cmd.save(str(tmp_path / "again.pse"))
    cmd.reinitialize()
    cmd.load(str(tmp_path / "again.pse"))
    again = state_of(cmd).results["edseg_1"]
    assert (again.map, again.view, again.journal) == (result.map, result.view, result.journal)
    assert again.folder is not None
    assert again.folder.parent == storage.runs_folder()


def test_damaged_sessions_leave_the_atoms(cmd: Any, run: Path) -> None:
    cmd.edseg_load(str(run))
    stored: dict[str, Any] = {}
    session.save_session(stored, _self=cmd)
    text, rng, restored = json.dumps(stored), random.Random(7), 0
    for _ in range(200):
        state_of(cmd).results.clear()
        session.restore_session(json.loads(damaged(text, rng, 4)), _self=cmd)
        if state_of(cmd).results:
            restored += 1
            cmd.edseg_label("rank1")
            cmd.edseg_accept(state_of(cmd).results["edseg_1"].proposals[-1].id)
        assert cmd.count_atoms("edseg_1_sites") == 12
    assert 20 < restored < 180


def test_only_folders_of_the_plugin_are_removed(tmp_path: Path) -> None:
    parent = storage.runs_folder()
    last_year = time.time() - 365 * 86400

    def fill(folder: Path) -> Path:
        folder.mkdir(exist_ok=True, parents=True)
        for name in ("map.ccp4", "thesis.tex", "journal.json"):
            (folder / name).write_text("{}", encoding="utf-8")
            os.utime(folder / name, (last_year, last_year))
        (folder / "result").mkdir(exist_ok=True)
        return folder

    mine = [fill(parent / name) for name in ("thesis", "edseg_1-abcdefgh", *(f"old-{i}" for i in range(30)))]
    left_by_a_crash = fill(storage.new_run_folder("edseg_1"))
    copied = fill(Path(shutil.copytree(left_by_a_crash, parent / "a copy of mine")))
    outside = fill(tmp_path / "outside")
    (parent / "link").symlink_to(outside)
    fresh = storage.new_run_folder("edseg_2")
    assert sorted(parent.iterdir()) == sorted([*mine, copied, parent / "link", fresh])
    assert all((folder / "thesis.tex").exists() for folder in [*mine, copied, outside])


def test_old_runs_make_room() -> None:
    parent = storage.runs_folder()
    made = []
    for number in range(25):
        folder = storage.new_run_folder("edseg_1")
        (folder / "result").mkdir()
        (folder / "journal.json").write_text("{}", encoding="utf-8")
        os.utime(folder / "journal.json", (number + 1, number + 1))
        made.append(folder)
    fresh = storage.new_run_folder("edseg_2")
    assert sorted(parent.iterdir()) == sorted([*made[-19:], fresh])
