"""Temporary directories beside the output that is made in them.

A run that is killed leaves its staging directory behind; the next one that writes to the same place finds it no longer
locked and removes it.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PREFIX = ".edseg-"
#: In a staging directory: an older result while it goes, and while the new one comes.
OLDER = ("leaving", "gone")
#: In a staging directory: locked by the run that made it, and holding the name of that run's host.
_LOCK = "edseg.lock"


@contextmanager
def staging_directory(parent: Path) -> Iterator[Path]:
    """Give a temporary directory in `parent`, and remove those that dead runs have left there."""
    for _ in abandoned(parent):
        pass
    staging = _new_staging(parent)
    lock = None
    try:
        lock = _lock(staging)
        yield staging
    finally:
        _remove(staging)
        if lock is not None:
            lock.close()


def _new_staging(parent: Path) -> Path:
    """Make a staging directory, and `parent` if it is not there."""
    for _ in range(10):
        with suppress(FileNotFoundError):  # a neighbour made the same parent, failed and took it away again
            parent.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def _remove(staging: Path) -> None:
    """Remove a staging directory, unless it holds an older result that is still to be put back."""
    if not any((staging / name).exists() for name in OLDER):
        shutil.rmtree(staging, ignore_errors=True)


if sys.platform == "win32":  # there are no such locks there, and nothing is removed

    def _lock(staging: Path) -> BinaryIO | None:
        return None

    def abandoned(parent: Path) -> Iterator[Path]:
        yield from ()

else:
    import fcntl

    def _lock(staging: Path) -> BinaryIO | None:
        """Mark `staging` as that of a living run.

        The name of the host is written only once the lock is held: without it, no other run takes this one for dead.
        """
        lock = (staging / _LOCK).open("xb", buffering=0)
        with suppress(OSError):  # a file system without locks, or a full one
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.write(platform.node().encode())
        return lock

    def abandoned(parent: Path) -> Iterator[Path]:
        """Yield the staging directories in `parent` that dead runs of this user on this host left, then remove each."""
        for staging in parent.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if staging.lstat().st_uid != os.geteuid():
                    continue
                with (staging / _LOCK).open("r+b", buffering=0) as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if lock.read() == platform.node().encode():
                        yield staging
                        _remove(staging)


def flush(path: Path) -> None:
    """Wait until a file, or the list of a directory's files, is on the disk.

    Some file systems report only now that they are full.
    """
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # the file system has no such operation
            raise
    finally:
        os.close(descriptor)


def flush_all(directory: Path) -> None:
    """Wait until a directory and all that is in it are on the disk."""
    for path in (*directory.rglob("*"), directory):
        flush(path)
