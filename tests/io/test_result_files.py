"""A result is a document and the files beside it, all of them or none."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from edseg_engine.errors import Cancelled, OutputError
from edseg_engine.io.result_files import ResultFiles, write_table
from edseg_engine.progress import Progress

OUTPUT = ResultFiles("result.json", ("table.csv", "maps/1.map", "maps"))


def write(directory: Path, number: int, stop_at: float = 2.0, overwrite: bool = False) -> list[float]:
    """Write a result and return the fractions that were reported."""
    fractions: list[float] = []

    def progress(progress: Progress) -> None:
        assert progress.stage == "write"
        fractions.append(progress.fraction)
        if progress.fraction >= stop_at:
            raise Cancelled("Stopped.")

    with OUTPUT.writing(directory, {"å": number}, overwrite=overwrite, progress=progress) as folder:
        write_table(folder / "table.csv", ("a", "b"), [(number, 'with "quotes", commas')])
        (folder / "maps").mkdir()
        (folder / "maps/1.map").write_bytes(bytes([number]))
    return fractions


def test_all_files_appear(tmp_path: Path) -> None:
    assert write(tmp_path / "out", 1) == [0.0, 1.0]
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")} == {*OUTPUT.names}
    text = (tmp_path / "out/result.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"å": 1}
    assert "å" in text
    with (tmp_path / "out/table.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", 'with "quotes", commas']]


@pytest.mark.parametrize("stop_at", [0.0, 1.0])
def test_who_stops_at_any_report_has_what_was_there_before(tmp_path: Path, stop_at: float) -> None:
    with pytest.raises(Cancelled):
        write(tmp_path / "out", 1, stop_at)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "out", 1)
    with pytest.raises(Cancelled):
        write(tmp_path / "out", 2, stop_at, overwrite=True)
    assert (tmp_path / "out/maps/1.map").read_bytes() == b"\x01"
    write(tmp_path / "out", 2, overwrite=True)
    assert json.loads((tmp_path / "out/result.json").read_text(encoding="utf-8")) == {"å": 2}


def test_files_of_others_are_in_the_way(tmp_path: Path) -> None:
    OUTPUT.check(tmp_path)
    write(tmp_path, 1)
    with pytest.raises(OutputError, match="not empty"):
        OUTPUT.check(tmp_path)
    OUTPUT.check(tmp_path, overwrite=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        OUTPUT.check(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match=r"notes\.txt"):
        write(tmp_path, 2, overwrite=True)
