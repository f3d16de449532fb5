"""Output files are there completely or not at all, and never at the cost of another file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from edseg_engine.errors import OutputError
from edseg_engine.io.output import check_output_directory, output_file
from outputs import OWN, write


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "directory").mkdir()
    (tmp_path / "read-only").write_text("old")
    places = {
        "fifo": "not a regular file",
        "/dev/null": "not a regular file",
        "loop": "symbolic links",
        "loop/map.ccp4": "symbolic links",
        "directory": "is a directory",
        ".": "is a directory",
        "": "is a directory",
        "/": "is a directory",
        "no/map.ccp4": "there is no directory",
        "read-only/map.ccp4": "Not a directory",
    }
    for place, message in places.items():
        path = tmp_path / place if place else ""
        with pytest.raises(OutputError, match=message), output_file(path):
            pytest.fail("it was not refused")
    assert {path.name for path in tmp_path.iterdir()} == {"fifo", "loop", "directory", "read-only"}
    for place in ("loop", "loop/out", "fifo"):
        with pytest.raises(OutputError):
            check_output_directory(tmp_path / place, OWN, last="result.json")


@pytest.mark.parametrize("kind", ["itself", "hard link", "symbolic link"])
def test_the_input_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    source, output = tmp_path / "b.mtz", tmp_path / "b.mtz"
    source.write_text("reflections")
    if kind != "itself":
        output = tmp_path / "out.ccp4"
        (output.hardlink_to if kind == "hard link" else output.symlink_to)(source)
    with pytest.raises(OutputError, match="it is the input"), output_file(output, inputs=[source]) as file:
        file.write_text("map")
    assert source.read_text() == "reflections"


def test_a_planted_link_is_not_followed_and_a_users_own_is(tmp_path: Path) -> None:
    precious, output = tmp_path / "precious", tmp_path / "map.ccp4"
    precious.write_text("mine")
    (tmp_path / ".map.ccp4.part").symlink_to(precious)
    with output_file(output) as file:
        file.write_text("new")
    assert precious.read_text() == "mine"
    (tmp_path / "latest.ccp4").symlink_to(output)
    with output_file(tmp_path / "latest.ccp4") as file:
        file.write_text("newer")
    assert (tmp_path / "latest.ccp4").is_symlink()
    assert output.read_text() == "newer"


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    output = tmp_path / "map.ccp4"
    output.write_text("old")
    output.chmod(0o660)
    with output_file(output) as file:
        file.write_text("new")
    assert stat.S_IMODE(output.stat().st_mode) == 0o660


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    output = tmp_path / "map.ccp4"

    def write_many(letter: str) -> None:
        for _ in range(10):
            with output_file(output) as file:
                file.write_text(letter * 100_000)

    threads = [threading.Thread(target=write_many, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = output.read_text()
    assert text == text[0] * 100_000
    assert list(tmp_path.iterdir()) == [output]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write(folder / "out")
    with output_file(folder / "map.ccp4") as file:
        file.write_text("new")
    with pytest.raises(OutputError) as caught:
        write(folder / "out")
    assert "caf\\xe9" in str(caught.value)
    assert {os.fsencode(path.name) for path in folder.iterdir()} == {b"out", b"map.ccp4"}
