"""Temporary files: gone in the end, and a full disk is said in a sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from edseg_engine.errors import MapFormatError, OutputError
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.io.temporary import temporary_directory
from full_disk import file_size_limit
from places import MTZ


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_directory_is_there_and_gone(folder: Path) -> None:
    with temporary_directory() as directory:
        (directory / "file").write_text("text")
        assert directory.parent == folder
    assert not list(folder.iterdir())


def test_a_full_disk_is_said_and_other_errors_stay(folder: Path) -> None:
    sentence = f"no room for temporary files in {folder}: File too large. Make room"
    with file_size_limit(10), pytest.raises(OutputError, match=sentence), temporary_directory() as directory:
        (directory / "file").write_text("a text that is longer")
    with pytest.raises(FileNotFoundError), temporary_directory() as directory:
        (directory / "none").read_text()
    assert not list(folder.iterdir())


def test_no_directory_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with pytest.raises(OutputError, match="Set TMPDIR"), temporary_directory():
        pass


def test_a_file_that_cannot_be_unpacked_for_want_of_room_is_not_called_damaged(folder: Path) -> None:
    with file_size_limit(1000), pytest.raises(OutputError, match="no room for temporary files"):
        read_amplitudes(MTZ)
    with pytest.raises(MapFormatError, match="does not exist"):
        read_amplitudes(folder / "none.mtz")
