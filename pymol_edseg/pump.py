"""Bringing a run's news into PyMOL, always in its own thread: by a timer of the window, or by waiting in a script."""

from __future__ import annotations

import atexit
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from pymol_edseg.objects import define_colors, draw_sites, update_sites
from pymol_edseg.palette import LABELS
from pymol_edseg.persist import read_journal, save_journal
from pymol_edseg.proposals import read_result
from pymol_edseg.run import STAGES, Run, Status
from pymol_edseg.state import Result, State, state_of
from pymol_edseg.surfaces import SurfaceError, draw_surfaces, load_density

_INTERVAL = 0.1


def application() -> Any:
    """Return the running QApplication if PyMOL's window is open, else None. Never imports Qt itself."""
    if "pmg_qt.pymol_qt_gui" not in sys.modules:
        return None
    return sys.modules["pymol.Qt"].QtWidgets.QApplication.instance()


def say(text: str, quiet: int = 0) -> None:
    """Write a line to PyMOL's log."""
    if not quiet:
        print(f" edseg: {text}")


def complain(text: str) -> None:
    """Write an error to PyMOL's log, as PyMOL does for commands, without ending anything."""
    from pymol import colorprinting

    colorprinting.error(f" edseg: {text}")


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
    stage = run.status.stage
    news = run.poll()
    for status in news:
        if status.state == "running" and status.stage != stage:
            stage = status.stage
            say(f"{STAGES[stage][0]} ...", run.details.get("quiet", 0))
    if run.status.state == "done":
        _finish(cmd, state, run)
    elif run.status.state in ("failed", "cancelled"):
        state.last_message = run.status.message
        atexit.unregister(run.cancel)
        if run.status.state == "failed" and run.details.get("alone"):
            complain(run.status.message)
    if news:
        state.changed("run")


def _finish(cmd: Any, state: State, run: Run) -> None:
    atexit.unregister(run.cancel)
    try:
        result = load(cmd, run.name, run.folder, run.details)
    except ValueError as error:
        run.status = Status("failed", message=str(error))
        state.last_message = str(error)
        shutil.rmtree(run.folder, ignore_errors=True)
        return
    state.last_message = f"{len(result.proposals)} residues found."
    quiet = run.details.get("quiet", 0)
    say(f"{run.name}: {state.last_message}", quiet)
    for warning in result.data["warnings"]:
        say(f"Warning: {warning}", quiet)


def load(cmd: Any, name: str, folder: Path, details: dict[str, Any]) -> Result:
    """Show the results in a folder: of a run, with its journal, or an output directory of the command line.

    Raises
    ------
    ValueError
        If they cannot be read.
    """
    results = folder / "result" if (folder / "result").is_dir() else folder
    data = read_result(results)
    stored = read_journal(folder)
    if stored is None:
        details = {key: value for key, value in details.items() if key not in ("quiet", "alone")}
        result = Result(name, data, {**details, "folder": str(folder) if folder is not results else None})
        result.shown = LABELS
    else:
        result = Result.from_json({**stored, "name": name, "data": data})
        result.details["folder"] = str(folder)
    show(cmd, result, results)
    return result


def show(cmd: Any, result: Result, results: Path) -> None:
    """Make the objects of a result and remember it."""
    from pymol_edseg.model import update_models

    state = state_of(cmd)
    define_colors(cmd)
    draw_sites(cmd, result)
    load_density(cmd, result, results)
    state.results[result.name] = result
    update_sites(cmd, result)
    try:
        draw_surfaces(cmd, result)
    except SurfaceError:
        result.shown = ()
    update_models(cmd, result)
    if problem := save_journal(result):
        complain(problem)
    state.changed("results")
