"""Bringing a run's news into PyMOL, always in its own thread: by a timer of the window, or by waiting in a script."""

from __future__ import annotations

import atexit
import sys
import threading
from typing import Any

from pymol_edseg.console import application, complain, say
from pymol_edseg.engine_process import Run, Status
from pymol_edseg.state import State, state_of
from pymol_edseg.storage import remove_run

_INTERVAL = 0.1
#: The log tells when a run has come farther by this fraction of the whole.
_STEP = 0.1


def begin(cmd: Any, run: Run) -> None:
    """Start a run; with a window, a timer brings its news from now on."""
    state = state_of(cmd)
    state.run = run
    run.start()
    atexit.register(run.cancel)
    state.changed("run")
    app = application()
    if app is not None:
        _start_timer(app, cmd)


def _start_timer(app: Any, cmd: Any) -> None:
    qt = sys.modules["pymol.Qt"].QtCore
    timer = qt.QTimer()
    # A command may come from any thread, a timer must live in the window's.
    timer.moveToThread(app.thread())
    timer.setInterval(int(1000 * _INTERVAL))

    def tick() -> None:
        pump(cmd)
        run = state_of(cmd).run
        if run is None or not run.active:
            timer.stop()
            timer.deleteLater()

    timer.timeout.connect(tick)
    qt.QMetaObject.invokeMethod(timer, "start", qt.Qt.ConnectionType.QueuedConnection)
    app._edseg_timer = timer


def wait(cmd: Any, run: Run) -> Status:
    """Wait for a run's end, keeping the window alive, and load its results."""
    app = application() if threading.current_thread() is threading.main_thread() else None
    try:
        while run.active:
            run.wait(_INTERVAL)
            pump(cmd)
            if app is not None:
                app.processEvents()
    except KeyboardInterrupt:
        run.cancel()
        run.wait(10)
        pump(cmd)
        raise
    return run.status


def pump(cmd: Any) -> None:
    """Take in what the run reported since the last time; at its end, load the results."""
    state = state_of(cmd)
    run = state.run
    if run is None or not run.active:
        return
    news = run.poll()
    for status in news:
        if status.state == "running" and (
            status.stage != run.said.stage or status.fraction - run.said.fraction > _STEP
        ):
            run.said = status
            say(f"{run.stages[status.stage][0]} ... {100 * status.fraction:.0f} %", run.flags.quiet)
    if run.status.state == "done":
        _finish(cmd, state, run)
    elif run.status.state in ("failed", "cancelled"):
        state.last_message = run.status.message
        atexit.unregister(run.cancel)
        if run.status.state == "failed" and run.flags.alone:
            complain(run.status.message)
    if news:
        state.changed("run")


def _finish(cmd: Any, state: State, run: Run) -> None:
    atexit.unregister(run.cancel)
    try:
        state.last_message = run.task.finish(cmd, run)
    except ValueError as error:
        run.status = Status("failed", message=str(error))
        state.last_message = str(error)
        remove_run(run.folder)
        return
    say(f"{run.name}: {state.last_message}", run.flags.quiet)
    for warning in run.warnings:
        say(f"Warning: {warning}", run.flags.quiet)
