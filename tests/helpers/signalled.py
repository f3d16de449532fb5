"""Runs of ``edseg`` to which signals come at a known point, on however busy a machine."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_CODE = """
import os, signal, sys
from edseg_engine.cli import main, progress

stage, numbers = sys.argv[1], [int(number) for number in sys.argv[2].split(",")]
emit = progress.emit

def emit_and_signal(event, **values):
    emit(event, **values)
    if values.get("stage") == stage:
        progress.emit = emit
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # so that all are there when the first is heeded
        for number in numbers:
            os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

progress.emit = emit_and_signal
sys.exit(main(sys.argv[3:]))
"""


def signalled_at(stage: str, numbers: Sequence[int], arguments: Sequence[str]) -> list[str]:
    """Give the command of a run that gets signals when it reports, as JSON, a first progress of a stage."""
    text = ",".join(str(signal.Signals(number).value) for number in numbers)
    return [sys.executable, "-c", _CODE, stage, text, *arguments, "--progress", "json"]
