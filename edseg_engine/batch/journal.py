"""The journal of a batch: an SQLite file that says of each map what was asked for and what came of it.

Each change is a transaction that is on the disk when it returns. A map is ``running`` from before its work begins until
its outcome is written down, so a run that is killed leaves its maps ``running``, and its results, each of which appears
whole, may be there or not: `Journal.before` tells a new result from the one that was there before.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edseg_engine.batch.records import DONE, FAILED, RUNNING, WAITING, Done, Entry, Failed, Outcome
from edseg_engine.errors import OutputError, ResultFormatError
from edseg_engine.io.names import shown


@dataclass(frozen=True)
class Asked:
    """What a map's result depends on.

    Attributes
    ----------
    settings
        JSON values, with the SHA-256 of files among them.
    size, mtime_ns
        Of the map's file; None if it is not there.
    """

    settings: Mapping[str, object]
    size: int | None
    mtime_ns: int | None


class Journal:
    """The journal of an output directory, open; see `edseg_engine.batch.journal_file`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def task(self) -> str:
        return str(self._connection.execute("SELECT task FROM batch").fetchone()[0])

    def entries(self) -> list[Entry]:
        """Return what is known of all maps, by name."""
        return [_entry(row) for row in self._rows("SELECT * FROM maps ORDER BY name")]

    def asked(self, name: str) -> tuple[Asked, str]:
        """Return what a map was last asked for, and the SHA-256 of its file then, empty if it is not known."""
        row = next(self._rows("SELECT * FROM maps WHERE name = ?", name))
        return Asked(json.loads(row["settings"]), row["input_size"], row["input_mtime_ns"]), row["input_sha256"]

    def before(self, name: str) -> tuple[str, int]:
        """Return the SHA-256 of the document that was there before the last attempt, and how many runs died of it."""
        row = next(self._rows("SELECT before, deaths FROM maps WHERE name = ?", name))
        return row["before"], row["deaths"]

    def add(self, name: str, path: Path, asked: Asked) -> None:
        """Write down a new map."""
        self._change(
            "INSERT INTO maps (name, path, state, settings) VALUES (?, ?, ?, '{}')", name, os.fsencode(path), WAITING
        )
        self.change(name, path, asked)

    def change(self, name: str, path: Path, asked: Asked) -> None:
        """Write down what a map is asked for now."""
        self._change(
            "UPDATE maps SET path = ?, settings = ?, input_size = ?, input_mtime_ns = ? WHERE name = ?",
            os.fsencode(path), json.dumps(asked.settings), asked.size, asked.mtime_ns, name,
        )  # fmt: skip

    def wait(self, name: str, before: str) -> None:
        """Write down that a map is to be worked on, whatever is there; see `before`."""
        self._change("UPDATE maps SET state = ?, deaths = 0, before = ? WHERE name = ?", WAITING, before, name)

    def touch(self, name: str, asked: Asked) -> None:
        """Write down that the file of a map has a new date and the old content."""
        self._change("UPDATE maps SET input_mtime_ns = ? WHERE name = ?", asked.mtime_ns, name)

    def begin(self, name: str, before: str, *, elsewhere: bool = False) -> None:
        """Write down that work on a map begins; see `before`.

        Until its end is written down, it counts as one more run that died of the map, unless it is done `elsewhere`:
        then the death of this process says nothing of the map.
        """
        self._change(
            "UPDATE maps SET state = ?, attempts = attempts + 1, deaths = deaths + ?, before = ? WHERE name = ?",
            RUNNING, int(not elsewhere), before, name,
        )  # fmt: skip

    def give_back(self, name: str) -> None:
        """Write down that work on a map was stopped on purpose, if it has begun and not ended."""
        self._change("UPDATE maps SET state = ?, deaths = 0 WHERE name = ? AND state = ?", WAITING, name, RUNNING)

    def finish(self, name: str, outcome: Outcome) -> None:
        """Write down what came of a map."""
        done = outcome.result if isinstance(outcome.result, Done) else Done({}, "", "", {})
        failed = outcome.result if isinstance(outcome.result, Failed) else Failed("", "")
        self._change(
            "UPDATE maps SET state = ?, deaths = 0, seconds = ?, finished = ?, files = ?, document_sha256 = ?, "
            "input_sha256 = ?, summary = ?, voxels = ?, error_kind = ?, error = ? WHERE name = ?",
            DONE if outcome.result is done else FAILED, outcome.seconds, time.time(), json.dumps(dict(done.files)),
            done.document_sha256, done.input_sha256, json.dumps(dict(done.summary)), done.voxels,
            failed.kind, shown(failed.message), name,
        )  # fmt: skip

    def copy_to(self, connection: sqlite3.Connection) -> None:
        """Copy everything to another connection."""
        self._connection.backup(connection)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all changes in this context reach the disk at once, or none."""
        self._change("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._change("COMMIT")

    def _change(self, statement: str, *values: object) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise OutputError(f"The journal of the batch cannot be written: {error}.") from error

    def _rows(self, statement: str, *values: object) -> Iterator[sqlite3.Row]:
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise ResultFormatError(f"The journal of the batch cannot be read: {error}.") from error


def _entry(row: sqlite3.Row) -> Entry:
    result: Done | Failed | None = None
    if row["state"] == DONE:
        files, summary = json.loads(row["files"]), json.loads(row["summary"])
        result = Done(files, row["document_sha256"], row["input_sha256"], summary, row["voxels"])
    elif row["state"] == FAILED:
        result = Failed(row["error_kind"], row["error"])
    path, settings = Path(os.fsdecode(row["path"])), json.loads(row["settings"])
    return Entry(row["name"], path, row["state"], settings, row["attempts"], row["seconds"], row["finished"], result)
