"""What is still to be done of a batch: the maps asked for, against the journal and the results that are there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edseg_engine.batch.digests import asked_of, is_same, is_there, sha256_of
from edseg_engine.batch.journal import Journal
from edseg_engine.batch.manifest import MapInput
from edseg_engine.batch.names import choose_names
from edseg_engine.batch.records import (
    DONE,
    FAILED,
    MOST_DEATHS,
    RUNNING,
    WAITING,
    Done,
    Entry,
    Failed,
    Job,
    Outcome,
    killer_of,
)
from edseg_engine.batch.settings import FILES, MapSettings
from edseg_engine.batch.tasks import OUTPUTS, done_of
from edseg_engine.errors import ResultFormatError
from edseg_engine.io.names import shown


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes
    ----------
    fresh
        Maps to work on, in their order.
    suspects
        Those at which an earlier run was killed: they are worked on last, and alone, so that one that kills again is
        known.
    done, failed
        How many of the others have a result, and how many failed before.
    """

    fresh: tuple[Job, ...]
    suspects: tuple[Job, ...]
    done: int
    failed: int

    @property
    def todo(self) -> tuple[Job, ...]:
        return (*self.fresh, *self.suspects)

    @property
    def total(self) -> int:
        return len(self.todo) + self.done + self.failed


def jobs_of(maps: Sequence[MapInput], known: Sequence[Entry]) -> list[Job]:
    """Return the maps with the names of their directories: those given, else those of earlier runs, else new ones."""
    names = {given.name.casefold(): given.name for given in maps if given.name is not None}
    earlier = {entry.path: entry.name for entry in known if entry.name.casefold() not in names}
    paths = {given: Path(os.path.realpath(given.path)) for given in maps if given.name is None}
    new = [given for given, path in paths.items() if path not in earlier]
    taken = [*names.values(), *(entry.name for entry in known)]
    chosen = dict(zip(new, choose_names([Path(os.path.abspath(given.path)) for given in new], taken), strict=True))
    return [
        Job(
            given.name or chosen.get(given) or earlier[paths[given]],
            Path(os.path.realpath(given.path)),
            _with_absolute_paths(given.settings),
            given.refusal,
        )
        for given in maps
    ]


def _with_absolute_paths(settings: MapSettings) -> MapSettings:
    """Return the settings as any process understands them."""
    paths = {name: getattr(settings, name) for name in FILES}
    return replace(settings, **{name: path.absolute() for name, path in paths.items() if path is not None})


def make_plan(maps: Sequence[MapInput], journal: Journal, directory: Path, *, retry_failed: bool = False) -> Plan:
    """Compare maps with the journal and the results, and write down what is new.

    A run that was killed may have left a complete result that it had no time to write down: this is done now.
    """
    entries = journal.entries()
    known = {entry.name: entry for entry in entries}
    fresh: list[Job] = []
    suspects: list[Job] = []
    done = failed = 0
    with journal.together():
        for job in jobs_of(maps, entries):
            state = _state_of(job, known.get(job.name), journal, directory, retry_failed)
            if state == DONE:
                done += 1
            elif state == FAILED:
                failed += 1
            else:
                (suspects if state == RUNNING else fresh).append(job)
    return Plan(tuple(fresh), tuple(suspects), done, failed)


def document_of(task: str, directory: Path) -> str:
    """Return the SHA-256 of the document of the result in `directory`; empty if there is none."""
    return sha256_of(directory / OUTPUTS[task].document)


def _state_of(job: Job, entry: Entry | None, journal: Journal, directory: Path, retry_failed: bool) -> str:
    """Return the state of a map, which is then in the journal; `RUNNING` if a run was killed while it was at work."""
    place, now = directory / job.name, asked_of(job)
    if entry is None:
        journal.add(job.name, job.path, now)
    if entry is None or not entry.attempts:
        return _for_the_first_time(job, entry, journal, place, retry_failed)
    before, sha256 = journal.asked(job.name)
    if entry.path != job.path or not is_same(before, sha256, now, job.path):
        journal.change(job.name, job.path, now)
        journal.wait(job.name, document_of(journal.task, place))
        return WAITING
    if before.mtime_ns != now.mtime_ns:
        journal.touch(job.name, now)
    if entry.state == FAILED and not retry_failed:
        return FAILED
    if entry.state == DONE:
        assert isinstance(entry.result, Done)
        if is_there(entry.result, place, OUTPUTS[journal.task].document):
            return DONE
    if entry.state in (RUNNING, WAITING) and _was_finished(job, journal, place):
        return DONE
    if entry.state == RUNNING:
        return _after_death(job, journal)
    journal.wait(job.name, document_of(journal.task, place))
    return WAITING


def _for_the_first_time(job: Job, entry: Entry | None, journal: Journal, place: Path, retry_failed: bool) -> str:
    """Return the state of a map that was never worked on: what lies in its place is not of this batch."""
    if entry is not None:
        journal.change(job.name, job.path, asked_of(job))
        if entry.state == FAILED and not retry_failed:
            return FAILED
    if os.path.lexists(place) and not (place.is_dir() and not any(place.iterdir())):
        message = (
            f"{shown(place)} is there already and not of this batch; move it away and use --retry-failed, or choose "
            "another directory with --out."
        )
        journal.finish(job.name, Outcome(Failed("OutputError", message)))
        return FAILED
    journal.wait(job.name, "")
    return WAITING


def _was_finished(job: Job, journal: Journal, place: Path) -> bool:
    """Return whether the last attempt left a complete result that is not in the journal, and write it down."""
    document = document_of(journal.task, place)
    if not document or document == journal.before(job.name)[0]:
        return False
    try:
        journal.finish(job.name, Outcome(done_of(journal.task, place, sha256_of(job.path))))
    except ResultFormatError:  # what cannot be read back is made again
        return False
    return True


def _after_death(job: Job, journal: Journal) -> str:
    """Return the state of a map at which a run was killed."""
    _, deaths = journal.before(job.name)
    if deaths < MOST_DEATHS:
        return RUNNING
    journal.finish(job.name, Outcome(killer_of("runs")))
    return FAILED
