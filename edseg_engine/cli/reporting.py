"""How commands with a result report: bars and a summary for people, JSON lines for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from edseg_engine.cli.console import say
from edseg_engine.cli.progress import emit, emit_progress, json_line, progress_bars
from edseg_engine.errors import REPORTED, Cancelled
from edseg_engine.io.names import shown
from edseg_engine.progress import ProgressCallback, ignore_progress

T = TypeVar("T")


def report(
    mode: str,
    directory: Path,
    work: Callable[[ProgressCallback], T],
    event: Callable[[T], dict[str, object]],
    summary: Callable[[T], str],
) -> int:
    """Do the work of a command, show its progress and its result, and return the exit code.

    Parameters
    ----------
    mode
        What ``--progress`` says.
    directory
        Where the results go.
    work
        From the input to the written results.
    event, summary
        What the last JSON line says beside the directory, and what people read.
    """
    if mode == "json":
        with error_event():
            result = _uninterrupted(work, emit_progress)
        say(json_line("result", directory=shown(directory.resolve()), **event(result)))
        return 0
    if mode == "auto":
        with progress_bars() as progress:
            result = _uninterrupted(work, progress)
    else:
        result = _uninterrupted(work, ignore_progress)
    say(summary(result))
    return 0


@contextmanager
def error_event() -> Iterator[None]:
    """Write a JSON line about what ends this context."""
    try:
        yield
    except REPORTED as error:
        with suppress(*REPORTED):  # if the output is closed, the first error is still the one to report
            emit("error", kind=type(error).__name__, message=shown(str(error)), exit_code=error.exit_code)
        raise


def _uninterrupted(work: Callable[[ProgressCallback], T], progress: ProgressCallback) -> T:
    try:
        return work(progress)
    except KeyboardInterrupt:
        raise Cancelled("Stopped; no results were written.") from None
