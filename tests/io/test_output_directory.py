"""Output directories are there completely or not at all, and never at the cost of a neighbour."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from edseg_engine.errors import OutputError
from edseg_engine.io.output import check_output_directory, output_directory, output_file
from full_disk import file_size_limit, own_disk
from outputs import OWN, child, complete, content, write


def test_runs_that_write_to_neighbours_at_once_all_keep_their_results(tmp_path: Path) -> None:
    code = """
        print("ready", flush=True)
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.001)
        check_output_directory(sys.argv[1], OWN, last="result.json")
        with output_directory(sys.argv[1], OWN, last="result.json") as folder:
            for name in OWN[:2]:
                time.sleep(0.02)
                (folder / name).write_text("new")
            (folder / "maps").mkdir()
            for name in OWN[3:]:
                time.sleep(0.02)
                (folder / name).write_text("new")
    """
    batch = tmp_path / "a/batch"
    names = ("1", "2", "3", "4")
    processes = [child(code, batch / name, tmp_path / "go") for name in names]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    (tmp_path / "go").touch()
    for process in processes:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    assert {path.name: content(path) for path in batch.iterdir()} == {name: complete("new") for name in names}


def test_what_a_neighbour_has_written_in_the_meantime_stays(tmp_path: Path) -> None:
    for name in ("1", "2"):
        with output_directory(tmp_path / "batch" / name, OWN, last="result.json") as folder:
            (folder / "result.json").write_text("new")
            (tmp_path / "batch/notes.txt").write_text("mine")
    assert content(tmp_path / "batch") == {"1/result.json": "new", "2/result.json": "new", "notes.txt": "mine"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_second_of_two_runs_for_one_directory_fails(tmp_path: Path, overwrite: bool) -> None:
    if overwrite:
        write(tmp_path / "out", "old")

    def second() -> None:
        with output_directory(tmp_path / "out", OWN, last="result.json", overwrite=overwrite) as folder:
            (folder / "result.json").write_text("second")
            write(tmp_path / "out", "first", overwrite)

    with pytest.raises(OutputError, match="Another run of edseg" if overwrite else "Directory not empty"):
        second()
    assert content(tmp_path / "out") == complete("old" if overwrite else "first")


@pytest.mark.parametrize("older", [False, True])
def test_a_directory_that_exists_is_kept(tmp_path: Path, older: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if older:
        write(out, "old")
    out.chmod(0o2770)
    before = out.stat()
    check_output_directory(out, OWN, last="result.json", overwrite=older)
    write(out, "new", overwrite=older, maps=not older)
    after = out.stat()
    assert content(out) == complete("new", maps=not older)
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert stat.S_IMODE(after.st_mode) == 0o2770
    assert os.listdir(tmp_path) == ["out"]


def test_a_mount_point_can_be_the_output_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with own_disk(out):
        write(out, "old")
        write(out, "new", overwrite=True)
        assert content(out) == complete("new")
        assert os.path.ismount(out)


def test_a_symbolic_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "scratch")
    write(tmp_path / "link", "old")
    write(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "scratch") == complete("new")


def test_the_permissions_are_those_of_any_other_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "out")
        with output_file(tmp_path / "map.ccp4") as file:
            file.write_text("new")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"out": 0o750, "maps": 0o750, "map.ccp4": 0o640} | {Path(n).name: 0o640 for n in complete("")}


def write_until_killed(place: Path, renames: int, maps: bool) -> bool:
    """Replace a result in a process that ends before its Nth renaming, as by SIGKILL or a power failure.

    Returns whether the process came to its own end before.
    """
    process = os.fork()
    if process == 0:
        rename, left = os.rename, renames

        def dying(source: Path, target: Path) -> None:
            nonlocal left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            rename(source, target)

        os.rename = dying
        try:
            write(place, "new", overwrite=True, maps=maps)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@pytest.mark.parametrize("maps", [False, True])
def test_a_run_that_is_killed_while_it_replaces_a_result_costs_neither(tmp_path: Path, maps: bool) -> None:
    out = tmp_path / "out"
    write(out, "old", maps=not maps)
    outcomes = []
    while not write_until_killed(out, len(outcomes), maps):
        outcomes.append((out / "result.json").exists())
        check_output_directory(out, OWN, last="result.json", overwrite=True)
        assert content(out) == complete("old", maps=not maps)
    assert outcomes == [True] + [False] * (len(outcomes) - 1)
    assert len(outcomes) >= 6
    assert content(out) == complete("new", maps=maps)


def test_a_result_that_cannot_be_put_back_at_once_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out", "old")
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        if target.name == "result.json" and target.parent.name == "out":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        write(tmp_path / "out", "new", overwrite=True)
    monkeypatch.undo()
    write(tmp_path / "out/further")
    shutil.rmtree(tmp_path / "out/further")
    check_output_directory(tmp_path / "out", OWN, last="result.json", overwrite=True)
    assert content(tmp_path / "out") == complete("old")


def test_a_run_that_is_killed_leaves_nothing_for_ever(tmp_path: Path) -> None:
    code = """
        with output_directory(sys.argv[1], OWN, last="result.json") as folder:
            (folder / "result.json").write_text("half")
            with output_file(sys.argv[2]) as file:
                file.write_text("half")
                print("writing", flush=True)
                time.sleep(60)
    """
    (tmp_path / "maps").mkdir()
    arguments = (tmp_path / "out", tmp_path / "maps/map.ccp4")
    with child(code, *arguments) as process:
        assert process.stdout is not None
        process.stdout.readline()
        left = sorted(path.name for path in tmp_path.rglob(".edseg-*"))
        assert len(left) == 2
        write(tmp_path / "other")  # while it lives, another run leaves it alone
        assert sorted(path.name for path in tmp_path.rglob(".edseg-*")) == left
        process.kill()
    write(arguments[0])
    with output_file(arguments[1]) as file:
        file.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "other", "out"]
    assert content(tmp_path / "out") == complete("new")
    assert content(tmp_path / "maps") == {"map.ccp4": "new"}


def test_only_what_a_run_of_edseg_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".edseg-thesis").mkdir()
    (tmp_path / ".edseg-thesis/chapter1.tex").write_text("mine")
    (tmp_path / ".edseg-notes").write_text("mine")
    (tmp_path / ".edseg-locked").mkdir()
    (tmp_path / ".edseg-locked/edseg.lock").write_text("another-host")
    before = content(tmp_path)
    write(tmp_path / "out")
    assert {name: text for name, text in content(tmp_path).items() if not name.startswith("out")} == before


def test_an_error_removes_only_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    def stop(place: Path) -> None:
        with output_directory(place, OWN, last="result.json") as folder:
            (folder / "result.json").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path / "a/b/c")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_a_full_disk_at_the_last_byte(tmp_path: Path) -> None:
    old = tmp_path / "map.ccp4"
    old.write_text("old")
    with (
        file_size_limit(999),
        pytest.raises(OutputError, match="File too large"),
        output_file(old) as file,
        file.open("wb") as stream,
    ):
        stream.write(b"x" * 1000)  # stays in the buffer until it is closed
    assert content(tmp_path) == {"map.ccp4": "old"}
