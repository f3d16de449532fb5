"""What is handed from step to step of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edseg_engine.batch.settings import MapSettings

#: What the journal can say of a map. Only a run that was killed leaves maps ``running``.
WAITING, RUNNING, DONE, FAILED = ("waiting", "running", "done", "failed")
#: A map at which so many runs or workers in a row were killed is taken for their cause.
MOST_DEATHS = 3


@dataclass(frozen=True)
class Job:
    """A map with the name of its directory.

    Attributes
    ----------
    name
        Of the directory.
    path
        The map's file, absolute.
    settings
        What it is asked for.
    refusal
        Why it cannot be worked on; empty if it can.
    """

    name: str
    path: Path
    settings: MapSettings
    refusal: str = ""


@dataclass(frozen=True)
class Work:
    """A job, and all that a process needs to do it.

    Attributes
    ----------
    job
        The map.
    directory
        Where its result goes.
    task
        One of `edseg_engine.batch.settings.TASKS`.
    device
        Where the network runs.
    """

    job: Job
    directory: Path
    task: str
    device: str


@dataclass(frozen=True)
class Done:
    """A complete result.

    Attributes
    ----------
    files
        Bytes of each file of the result by its name relative to its directory, with ``/``.
    document_sha256
        Of the JSON document.
    input_sha256
        Of the map's file; empty if it is not known.
    summary
        What the page's table says of it (JSON values).
    voxels
        Voxels of the boxes that the network read; 0 if they were not counted.
    """

    files: Mapping[str, int]
    document_sha256: str
    input_sha256: str
    summary: Mapping[str, object] = field(repr=False)
    voxels: float = 0.0


@dataclass(frozen=True)
class Failed:
    """Why there is no result: the class of the error, and its sentence."""

    kind: str
    message: str


def killer_of(victims: str) -> Failed:
    """Return what the journal says of a map at which `MOST_DEATHS` of the `victims` (runs or workers) were killed."""
    message = (
        f"{MOST_DEATHS} {victims} in a row were killed while this map was at work, the last with no other map beside "
        "it, as they are when memory runs out. Give it more memory, and try it again with --retry-failed."
    )
    return Failed("DeviceError", message)


@dataclass(frozen=True)
class Outcome:
    """What came of a map, and the seconds that its steps took."""

    result: Done | Failed
    seconds: float = 0.0


@dataclass(frozen=True)
class Entry:
    """What the journal says of a map; see `Job`, `Done` and `Failed`."""

    name: str
    path: Path
    state: str
    settings: Mapping[str, object]
    attempts: int = 0
    seconds: float = 0.0
    finished: float | None = None
    result: Done | Failed | None = None
