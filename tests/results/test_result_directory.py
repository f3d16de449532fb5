"""The directory of a result: made, refused, replaced, and never lost."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edseg_engine.errors import Cancelled, OutputError
from edseg_engine.progress import Progress
from edseg_engine.results.files import RESULT_FILES, RESULT_OUTPUT, write_results
from full_disk import file_size_limit
from segmentations import box_maps, random_maps, segmentation


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.*")}


def test_directories_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_results(segmentation(), tmp_path / "a/b/c")
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        "a", "a/b", "a/b/c", *(f"a/b/c/{name}" for name in RESULT_FILES),
    }  # fmt: skip


def test_cancelling_leaves_nothing_behind(tmp_path: Path) -> None:
    reports: list[Progress] = []

    def cancel_late(progress: Progress) -> None:
        reports.append(progress)
        if progress.fraction > 0.5:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        write_results(segmentation(class_maps=box_maps()), tmp_path / "out", progress=cancel_late)
    assert {progress.stage for progress in reports} == {"write"}
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_results(segmentation(), tmp_path / "out")
    assert set(files_of(tmp_path / "out")) == set(RESULT_FILES)


@pytest.mark.parametrize(
    "check", [RESULT_OUTPUT.check, lambda path, overwrite=False: write_results(segmentation(), path)]
)
def test_a_directory_with_files_is_refused(tmp_path: Path, check) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        check(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "notes.txt"]


def test_overwriting_replaces_the_whole_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_results(segmentation(class_maps=box_maps()), out)
    RESULT_OUTPUT.check(out, overwrite=True)
    write_results(segmentation(3), out, overwrite=True)
    assert set(files_of(out)) == set(RESULT_FILES)
    assert len(json.loads((out / "result.json").read_text(encoding="utf-8"))["residues"]) == 3
    assert list(tmp_path.iterdir()) == [out]


def test_overwriting_refuses_files_that_are_no_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_results(segmentation(), out)
    (out / "data.mtz").write_bytes(b"precious")
    before = files_of(out)
    for refuse in (
        RESULT_OUTPUT.check,
        lambda path, overwrite: write_results(segmentation(3), path, overwrite=overwrite),
    ):
        with pytest.raises(OutputError, match=r"data\.mtz"):
            refuse(out, overwrite=True)
    assert files_of(out) == before


def test_the_working_directory_is_used_when_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_results(segmentation(), Path("."))
    assert set(os.listdir(".")) == set(RESULT_FILES)


@pytest.mark.parametrize("limit", [500, 50_000, 200_000])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, limit: int) -> None:
    maps = random_maps(replace(box_maps().grid, start=(0, 0, 0)), (40, 48, 60))
    with file_size_limit(limit), pytest.raises(OutputError, match="File too large"):
        write_results(segmentation(class_maps=maps), tmp_path / "a/out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_cost_the_old_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_results(segmentation(5), out)
    before = files_of(out)
    with file_size_limit(10_000), pytest.raises(OutputError):
        write_results(segmentation(500), out, overwrite=True)
    assert files_of(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_failing_exchange_does_not_cost_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write_results(segmentation(5), out)
    before = files_of(out)
    rename = os.rename

    def fail_to_move_the_new_result(source: Path, target: Path) -> None:
        if target == out / "result.json" and "new" in source.parts:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_to_move_the_new_result)
    with pytest.raises(OutputError, match="Input/output error"):
        write_results(segmentation(6), out, overwrite=True)
    assert files_of(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file", tmp_path / "file/out", Path("/proc/edseg-out")]
    for place in places:
        with pytest.raises(OutputError, match="Cannot write"):
            RESULT_OUTPUT.check(place)
        with pytest.raises(OutputError, match="Cannot write"):
            write_results(segmentation(), place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
