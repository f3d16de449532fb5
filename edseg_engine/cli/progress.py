"""Ways to show the progress of a run: bars for people, JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

_TITLES = {
    "read": "Reading the map",
    "cycles": "Reading in cycles",
    "prepare": "Preparing the density",
    "network": "Running the network",
    "instances": "Finding residues",
    "classify": "Naming residues",
    "segment": "Finding residues",
    "trace": "Tracing chains",
    "search": "Searching the database",
    "build": "Building atoms",
    "refine": "Refining",
    "polish": "Polishing the model",
    "validate": "Checking the model",
    "write": "Writing results",
}


@contextmanager
def progress_bars() -> Iterator[ProgressCallback]:
    """Give a callback that draws one bar per stage on stderr, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ignore_progress
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}"),
    )
    bars = Bars(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def show(progress: Progress) -> None:
        with suppress(OSError):  # the terminal may have been closed; the run need not end for that
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(title_of(progress.stage), total=1.0, message="")
            bars.update(tasks[progress.stage], completed=progress.fraction, message=progress.message)

    with drawn(bars):
        yield show


@contextmanager
def drawn(bars: Bars) -> Iterator[None]:
    """Draw bars until the work is over, whatever becomes of the terminal."""
    bars.start()
    try:
        yield
    finally:
        with suppress(OSError):
            bars.stop()


def title_of(stage: str) -> str:
    """Return what people call a stage."""
    return _TITLES.get(stage, stage)


def json_line(event: str, **values: object) -> str:
    """Return an event for programs as one line of JSON."""
    return json.dumps({"event": event, **values})


def emit(event: str, **values: object) -> None:
    """Write an event for programs to stdout.

    Raises
    ------
    Cancelled
        If the reader of the output is gone.
    OutputError
        If stdout cannot be written.
    """
    print(json_line(event, **values), flush=True)


def emit_progress(progress: Progress) -> None:
    """Write a report of progress as a JSON line."""
    emit("progress", stage=progress.stage, fraction=round(progress.fraction, 4), message=progress.message)
