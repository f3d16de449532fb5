"""Directories for files that are needed only while something runs."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edseg_engine.errors import OutputError
from edseg_engine.io.names import shown

#: What the system says where there is no room for a file: on the disk, in a quota, under a limit.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Give a directory that is removed in the end.

    Raises
    ------
    OutputError
        If it cannot be made, or there is no room for what is written in it.
    """
    try:
        directory = tempfile.TemporaryDirectory(prefix="edseg-")
    except OSError as error:
        raise OutputError(
            f"No directory for temporary files can be made: {error.strerror or error}. "
            "Set TMPDIR to a directory that has room."
        ) from error
    try:
        with directory as name:
            yield Path(name)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(Path(directory.name), error.errno) from error


def no_room(directory: Path, number: int = errno.ENOSPC) -> OutputError:
    """Return the error for a directory for temporary files that is full, with what the system said of it."""
    return OutputError(
        f"There is no room for temporary files in {shown(directory.parent)}: {os.strerror(number)}. "
        "Make room, or set TMPDIR to a directory that has more."
    )
