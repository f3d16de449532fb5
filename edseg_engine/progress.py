"""Progress and cancellation: the engine reports, the caller decides what to show and when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """The callback of callers that do not want to know."""
