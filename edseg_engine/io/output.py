"""Output that is there completely or not at all: one file, or a directory of files.

Both are made in a staging directory on the same file system, flushed to the disk and then renamed into place.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edseg_engine.errors import OutputError
from edseg_engine.io.names import shown
from edseg_engine.io.staging import OLDER, PREFIX, abandoned, flush, flush_all, staging_directory


@contextmanager
def output_file(path: Path | str, inputs: Iterable[Path | str] = ()) -> Iterator[Path]:
    """Give a path at which to write the file that takes the place of `path` when the context ends without an error.

    A file that is replaced hands on its permissions. If `path` is a symbolic link, the file that it points to is
    replaced.

    Parameters
    ----------
    path
        A new file, or a regular one to replace. Its directory must exist.
    inputs
        Files that must not be overwritten.

    Raises
    ------
    OutputError
        If `path` cannot be written, is one of `inputs`, or is not a regular file.
    """
    with _as_output_error(f"Cannot write {shown(path)}"):
        target = Path(os.path.realpath(path))
        permissions = _permissions_of_replaced(target, inputs)
        if not target.parent.is_dir():
            raise OutputError(f"Cannot write {shown(path)}: there is no directory {shown(target.parent)}.")
        with staging_directory(target.parent) as staging:
            new = staging / f"new{target.suffix}"
            yield new
            if permissions is not None:
                new.chmod(permissions)
            flush(new)
            os.replace(new, target)
            flush(target.parent)


@contextmanager
def output_directory(path: Path | str, own: Collection[str], *, last: str, overwrite: bool = False) -> Iterator[Path]:
    """Give a directory in which to write the files that appear in `path` when the context ends without an error.

    A directory that does not exist is made, together with its parents, and appears at once. One that exists is kept,
    and the files are moved into it one by one. If that does not come to its end, the older result is put back: by this
    run, or by the next one if this one is killed.

    Parameters
    ----------
    path
        A new or empty directory, or with `overwrite` one that holds only files of an older result.
    own
        Files and directories of a result, relative to its directory, with ``/``. Others are never overwritten.
    last
        The file in `own` that is moved into place last: where it is, the result is complete.
    overwrite
        Whether an older result is replaced.

    Raises
    ------
    OutputError
        If `path` cannot be written, or holds files that must not be replaced.
    """
    with _as_output_error(f"Cannot write the results to {shown(path)}"):
        directory = Path(os.path.realpath(path))
        _check_content(directory, own, last, overwrite)
        if directory.exists():
            with staging_directory(directory) as staging:
                new = staging / "new"
                new.mkdir()
                yield new
                flush_all(new)
                _exchange(staging, directory, own, last)
        else:
            with _parents_removed_on_error(directory), staging_directory(directory.parent) as staging:
                new = staging / "new"
                new.mkdir()
                yield new
                flush_all(new)
                os.rename(new, directory)
                flush(directory.parent)


def check_output_directory(path: Path | str, own: Collection[str], *, last: str, overwrite: bool = False) -> None:
    """Make sure that `output_directory` can write to `path`, without writing anything.

    Raises
    ------
    OutputError
        If it cannot.
    """
    with _as_output_error(f"Cannot write the results to {shown(path)}"):
        directory = Path(os.path.realpath(path))
        _check_content(directory, own, last, overwrite)
        existing = next(place for place in (directory, *directory.parents) if place.exists())
        with staging_directory(existing):
            pass


def make_directory(path: Path | str) -> None:
    """Make a directory with its parents, unless it is there.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    with _as_output_error(f"Cannot make the directory {shown(path)}"):
        Path(path).mkdir(parents=True, exist_ok=True)


@contextmanager
def _as_output_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{what}: {error.strerror or error}.") from error


def _permissions_of_replaced(target: Path, inputs: Iterable[Path | str]) -> int | None:
    """Return the permissions of the file that is replaced, or None for a new file."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"Cannot write {shown(target)}: it is a directory; give the name of a file.")
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"Cannot write {shown(target)}: it is not a regular file.")
    for path in inputs:
        with suppress(FileNotFoundError):
            if os.path.samefile(path, target):
                raise OutputError(f"Cannot write {shown(target)}: it is the input; give another name.")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(status.st_mode)


def _check_content(directory: Path, own: Collection[str], last: str, overwrite: bool) -> None:
    """Raise OutputError if there is something at `directory` that must not be replaced."""
    try:
        is_directory = stat.S_ISDIR(directory.stat().st_mode)
    except FileNotFoundError:
        return
    if not is_directory:
        raise OutputError(f"Cannot write the results to {shown(directory)}: it is a file, not a directory.")
    for staging in abandoned(directory):
        _settle(staging, directory, own, last)
    if not overwrite and any(directory.iterdir()):
        raise OutputError(f"The output directory {shown(directory)} is not empty: choose another, or use --overwrite.")
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if name.startswith(PREFIX):
            raise OutputError(
                f"Another run of edseg is writing to {shown(directory)}, or has left {shown(name)} in it."
            )
        if name not in own:
            raise OutputError(
                f"Will not overwrite {shown(directory)}: {shown(path.name)} in it is not a result file of edseg."
            )


@contextmanager
def _parents_removed_on_error(directory: Path) -> Iterator[None]:
    """On an error, remove the parents of `directory` that were made in the context, if they are empty."""
    missing = [parent for parent in directory.parents if not parent.exists()]
    try:
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise


def _exchange(staging: Path, directory: Path, own: Collection[str], last: str) -> None:
    """Move the older result from `directory` to `staging`, then the new one from ``staging/new`` to `directory`.

    At any moment, `staging` shows what has been done, so that it can be undone.
    """
    leaving, gone = (staging / name for name in OLDER)
    try:
        leaving.mkdir()
        for path in reversed(_entries(directory, own, last)):
            os.rename(path, leaving / path.name)
        os.rename(leaving, gone)
        _move(staging / "new", directory, own, last)
        flush(directory)
    finally:
        _settle(staging, directory, own, last)


def _settle(staging: Path, directory: Path, own: Collection[str], last: str) -> None:
    """Put the older result back, or remove it if the new one has come completely."""
    leaving, gone = (staging / name for name in OLDER)
    if gone.exists() and (directory / last).exists():
        shutil.rmtree(gone, ignore_errors=True)
    elif gone.exists():
        for path in _entries(directory, own, last):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        os.rename(gone, leaving)
    if leaving.exists():
        _move(leaving, directory, own, last)
        leaving.rmdir()


def _move(source: Path, directory: Path, own: Collection[str], last: str) -> None:
    for path in _entries(source, own, last):
        os.rename(path, directory / path.name)


def _entries(directory: Path, own: Collection[str], last: str) -> list[Path]:
    """Return the files and directories of a result in `directory`, `last` at the end."""
    names = sorted({name.split("/")[0] for name in own}, key=lambda name: (name == last, name))
    return [directory / name for name in names if os.path.lexists(directory / name)]
