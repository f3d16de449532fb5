"""The file of a journal: made, opened by one batch at a time, read, and copied."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from edseg_engine.batch.journal import Journal
from edseg_engine.batch.names import JOURNAL, LOCK
from edseg_engine.errors import OutputError, ResultFormatError
from edseg_engine.io.names import shown

#: Marks the file as ours ("edsg"), and the columns as those below.
_APPLICATION, _VERSION = 0x65647367, 1
_BUSY_S = 30.0
_TABLES = """
CREATE TABLE batch (task TEXT NOT NULL);
CREATE TABLE maps (
    name TEXT PRIMARY KEY,
    path BLOB NOT NULL,
    state TEXT NOT NULL,
    settings TEXT NOT NULL,
    input_size INTEGER,
    input_mtime_ns INTEGER,
    input_sha256 TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    before TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    finished REAL,
    files TEXT NOT NULL DEFAULT '{}',
    document_sha256 TEXT NOT NULL DEFAULT '',
    summary TEXT NOT NULL DEFAULT '{}',
    voxels REAL NOT NULL DEFAULT 0,
    error_kind TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
"""


@contextmanager
def open_journal(directory: Path, task: str) -> Iterator[Journal]:
    """Open the journal of an output directory for a batch, and make both if they are not there.

    Raises
    ------
    OutputError
        If they cannot be made, another batch is running there, or its batch has another task.
    ResultFormatError
        If the journal is damaged.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / LOCK).open("ab")
    except OSError as error:
        raise OutputError(f"Cannot write to {shown(directory)}: {error.strerror or error}.") from error
    with lock:
        _lock(lock.fileno(), directory)
        with _connected(directory / JOURNAL, "rwc") as connection:
            try:
                if not connection.execute("PRAGMA application_id").fetchone()[0]:
                    _make(connection, directory, task)
            except sqlite3.Error as error:
                raise _unreadable(directory, error) from error
            yield _of_task(_checked(connection, directory), directory, task)


@contextmanager
def read_journal(directory: Path) -> Iterator[Journal]:
    """Open the journal of an output directory for reading, also while a batch is running.

    Raises
    ------
    ResultFormatError
        If there is none, or it is damaged.
    """
    if not (directory / JOURNAL).is_file():
        raise ResultFormatError(f"{shown(directory)} is not the output of a batch: there is no {JOURNAL} in it.")
    with _connected(directory / JOURNAL, "rw" if os.access(directory, os.W_OK) else "ro") as connection:
        yield _checked(connection, directory)


@contextmanager
def copied_journal(directory: Path, task: str) -> Iterator[Journal]:
    """Give a copy in memory of the journal of an output directory, or a new one; nothing on the disk changes.

    Raises
    ------
    ResultFormatError
        If the journal is damaged.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        copy.row_factory = sqlite3.Row
        if (directory / JOURNAL).is_file():
            with read_journal(directory) as journal:
                _of_task(journal, directory, task).copy_to(copy)
        else:
            _make(copy, directory, task)
        yield Journal(copy)


@contextmanager
def _connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with ExitStack() as stack:
        try:
            # Without an isolation level each statement is a transaction. One that a kill cut off is rolled back by the
            # next who opens the file.
            connection = stack.enter_context(closing(sqlite3.connect(uri, _BUSY_S, isolation_level=None, uri=True)))
            # A power cut loses nothing that was written down. Unlike a write-ahead log this works on network disks.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = PERSIST")
        except sqlite3.Error as error:
            raise _unreadable(path.parent, error) from error
        connection.row_factory = sqlite3.Row
        yield connection


def _make(connection: sqlite3.Connection, directory: Path, task: str) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ResultFormatError(f"{JOURNAL} in {shown(directory)} is not the journal of a batch; move it away.")
    statements = f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
    connection.executescript(statements)
    connection.execute("INSERT INTO batch VALUES (?)", (task,))
    connection.execute("COMMIT")


def _checked(connection: sqlite3.Connection, directory: Path) -> Journal:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.Error as error:
        raise _unreadable(directory, error) from error
    if application != _APPLICATION or version != _VERSION:
        raise ResultFormatError(f"{JOURNAL} in {shown(directory)} is of another program or version of edseg.")
    if not sound:
        raise _unreadable(directory, "it is damaged")
    return Journal(connection)


def _of_task(journal: Journal, directory: Path, task: str) -> Journal:
    if journal.task != task:
        raise OutputError(
            f"{shown(directory)} holds a batch of the task {journal.task}; choose another directory with --out."
        )
    return journal


def _unreadable(directory: Path, error: object) -> ResultFormatError:
    return ResultFormatError(
        f"The journal {JOURNAL} in {shown(directory)} cannot be used: {error}. The results beside it are sound; to "
        "start a new batch, choose another directory with --out."
    )


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, directory: Path) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            raise _running(directory) from None

else:
    import errno
    import fcntl

    def _lock(descriptor: int, directory: Path) -> None:
        """Keep other batches from the directory for as long as this process lives."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):  # others: a file system without locks
                raise _running(directory) from None


def _running(directory: Path) -> OutputError:
    return OutputError(f"Another batch is running in {shown(directory)}; wait for its end, or choose another --out.")
