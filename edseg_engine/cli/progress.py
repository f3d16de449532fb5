"""Ways to show the progress of a run: bars for people, JSON lines for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from edseg_engine.errors import Cancelled
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

_TITLES = {
    "read": "Reading the map",
    "prepare": "Preparing the density",
    "network": "Running the network",
    "instances": "Finding residues",
    "classify": "Naming residues",
    "segment": "Finding residues",
    "trace": "Tracing chains",
    "build": "Building atoms",
    "refine": "Refining",
    "waters": "Adding waters",
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
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                title = _TITLES.get(progress.stage, progress.stage)
                tasks[progress.stage] = bars.add_task(title, total=1.0, message="")
            bars.update(tasks[progress.stage], completed=progress.fraction, message=progress.message)

        yield show


def emit(event: str, **values: object) -> None:
    """Write one JSON line to stdout.

    Raises
    ------
    Cancelled
        If nobody reads them any more.
    """
    try:
        print(json.dumps({"event": event, **values}), flush=True)
    except BrokenPipeError:
        # What the interpreter flushes at its exit must find an open file, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Cancelled("Stopped, because the program that started the run has exited.") from None


def emit_progress(progress: Progress) -> None:
    """Write a report of progress as a JSON line."""
    emit("progress", stage=progress.stage, fraction=round(progress.fraction, 4), message=progress.message)
