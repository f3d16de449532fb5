"""What measures the stages of building."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from edseg_engine.progress import Clock, ProgressCallback


class BuildClock(Clock):
    """A clock of coarser stages: what happens within one is reported under its name."""

    @contextmanager
    def within(self, name: str) -> Iterator[ProgressCallback]:
        with self.stage(name):
            yield lambda progress: self.progress(replace(progress, stage=name))
