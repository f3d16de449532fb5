"""Progress and cancellation: the engine reports, the caller decides what to show and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

#: Stages of a run, in their order. Their names are part of the ``--progress json`` lines.
STAGES: tuple[str, ...] = ("read", "prepare", "network", "instances", "classify", "write")


@dataclass(frozen=True)
class Progress:
    """One report: `fraction` (0 to 1) of `stage` is done; `message` says more where there is more to say."""

    stage: str
    fraction: float
    message: str = ""


#: Called often during a run. To stop the run, raise `edseg_engine.errors.Cancelled` from it.
ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """A callback that does nothing."""


def part_of(progress: ProgressCallback, start: float, end: float) -> ProgressCallback:
    """Return the callback of a piece of work that takes its stage from the fraction `start` to `end`."""
    return lambda p: progress(replace(p, fraction=start + (end - start) * p.fraction))


@dataclass
class Clock:
    """Measures the stages of a run, in seconds, and reports their beginning and end."""

    progress: ProgressCallback = ignore_progress
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens in this context as a part of the stage `name`."""
        self.progress(Progress(name, 0.0))
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start
        self.progress(Progress(name, 1.0))
