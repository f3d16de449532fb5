"""The crystals that a tool was asked for: their places in the index, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from edseg_engine.errors import OptionError, TrainingDataError
from tools.crystals import chosen_crystals


@pytest.fixture
def index(tmp_path: Path) -> Path:
    rows = [
        ("id", "split", "resolution", "sequences"),
        ("1aaa", "dev", "2.0", "ACD"),
        ("1bbb", "train", "2.0", ""),
        ("1ccc", "dev", "2.0", ""),
        ("1ddd", "dev", "2.0", "ACD|GHI"),
    ]
    (tmp_path / "index.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    return tmp_path


def test_crystals_keep_their_places_in_the_split(index: Path) -> None:
    chosen = chosen_crystals(index, "dev", ["1ddd", "1aaa"])
    assert [(place, entry.name) for place, entry in chosen] == [(0, "1aaa"), (2, "1ddd")]
    assert [entry.name for _, entry in chosen_crystals(index, "dev", None)] == ["1aaa", "1ccc", "1ddd"]


def test_unknown_crystals_and_those_without_sequences_are_named(index: Path) -> None:
    with pytest.raises(OptionError, match="'dev': 1bbb, 9zzz"):
        chosen_crystals(index, "dev", ["9zzz", "1bbb", "1aaa"])
    with pytest.raises(TrainingDataError, match="no sequences of 1ccc"):
        chosen_crystals(index, "dev", None, sequences=True)
    assert len(chosen_crystals(index, "dev", ["1aaa", "1ddd"], sequences=True)) == 2
