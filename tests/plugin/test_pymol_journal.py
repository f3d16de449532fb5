"""The journal of decisions."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from pymol_edseg.journal import STATUSES, Entry, Journal

entries = st.builds(
    Entry,
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    st.sampled_from([None, *STATUSES]),
    st.sampled_from([None, "ILE", "VAL/THR"]),
    st.sampled_from([None, "model"]),
)
moves = st.lists(st.one_of(entries, st.sampled_from(["undo", "redo"])), max_size=25)


@settings(deadline=None)  # other work on the machine is no failure
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
    lost: list[str] = []
    assert Journal.from_json(json.loads(json.dumps(journal.to_json())), range(1, 10), lost) == journal
    assert lost == []
    for action in actions:
        if isinstance(action, Entry):
            assert all(number in action.ids for number in journal.would_change(action))
