"""The journal of decisions, and the folders that keep runs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymol_edseg import storage
from pymol_edseg.journal import STATUSES, Entry, Journal

entries = st.builds(
    Entry,
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    st.sampled_from([None, *STATUSES]),
    st.sampled_from([None, "ILE", "VAL/THR"]),
    st.sampled_from([None, "model"]),
)
moves = st.lists(st.one_of(entries, st.sampled_from(["undo", "redo"])), max_size=25)


@given(moves)
def test_undo_takes_back_and_redo_brings_back(actions: list[Entry | str]) -> None:
    journal, past, future = Journal(), [{}], []
    for action in actions:
        if isinstance(action, Entry):
            journal.add(action)
            past.append(journal.decisions())
            future = []
        elif action == "undo":
            assert (journal.undo() is None) == (len(past) == 1)
            if len(past) > 1:
                future.append(past.pop())
        else:
            assert (journal.redo() is None) == (not future)
            if future:
                past.append(future.pop())
        assert journal.decisions() == past[-1]
    again = Journal.from_json(json.loads(json.dumps(journal.to_json())))
    assert again == journal
    for action in actions:
        if isinstance(action, Entry):
            assert all(number in action.ids for number in journal.would_change(action))


@pytest.mark.parametrize(
    "damaged",
    [{}, {"entries": [], "position": 3}, {"entries": [{"ids": 3}], "position": 0}, {"entries": [[1]], "position": 1}],
)
def test_damaged_journals(damaged: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="journal"):
        Journal.from_json(damaged)


def test_old_runs_make_room(tmp_path: Path) -> None:
    parent = storage.runs_folder()
    for number in range(25):
        folder = parent / f"edseg_1-{number:02}"
        (folder / "result").mkdir(parents=True)
        (folder / storage.JOURNAL).write_text("{}", encoding="utf-8")
        os.utime(folder, (number + 1, number + 1))
        os.utime(folder / storage.JOURNAL, (number + 1, number + 1))
    (parent / "mine").mkdir()
    (parent / "mine" / storage.JOURNAL).write_text("not of edseg", encoding="utf-8")
    (parent / "dead").mkdir()
    (parent / "dead" / "map.ccp4").write_text("", encoding="utf-8")
    os.utime(parent / "dead" / "map.ccp4", (1, time.time() - 2 * 86400))
    fresh = storage.new_run_folder("edseg_2")
    kept = {path.name for path in parent.iterdir()}
    assert kept == {"mine", fresh.name, *(f"edseg_1-{number:02}" for number in range(6, 25))}
