"""Nothing is lost: results and decisions go into PyMOL's session files, and into a file of their own at each decision.

Each run has a folder, with the engine's results in ``result`` and the decisions in ``journal.json``. The folders of the
last runs are kept, so that `edseg_load` brings back what a crash took.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from pymol_edseg.objects import define_colors
from pymol_edseg.state import Result, state_of

#: Key in PyMOL's session, and version of what is stored there.
KEY, SCHEMA = "edseg", "edseg-session/1"
JOURNAL = "journal.json"
#: Where runs are kept; the environment variable of that name changes it.
RUNS_VARIABLE = "EDSEG_RUNS"
_RUNS_KEPT = 20


def runs_folder() -> Path:
    """Return the folder that holds a folder of each run."""
    return Path(os.environ.get(RUNS_VARIABLE) or Path.home() / ".pymol" / "edseg_runs")


def new_run_folder(name: str) -> Path:
    """Make the folder of a new run, and delete the oldest ones.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    parent = runs_folder()
    parent.mkdir(parents=True, exist_ok=True)
    old = sorted(kept_runs(), key=lambda path: path.stat().st_mtime)
    # A run's map is deleted at its end; one that is a day old was left by a PyMOL that died meanwhile.
    dead = [path.parent for path in parent.glob("*/map.ccp4") if path.stat().st_mtime < time.time() - 86400]
    for folder in dead + old[: max(0, len(old) - _RUNS_KEPT + 1)]:
        shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))


def kept_runs() -> list[Path]:
    """Return the folders of complete runs, newest last."""
    folders = [path.parent for path in runs_folder().glob(f"*/{JOURNAL}") if (path.parent / "result").is_dir()]
    return sorted(folders, key=lambda path: (path / JOURNAL).stat().st_mtime)


def save_journal(result: Result) -> str:
    """Write the decisions on a result to its folder; return what went wrong, or nothing.

    A full disk must not keep the user from deciding: the session still has it all.
    """
    folder = result.folder
    try:
        if folder is None or not folder.is_dir():
            folder = new_run_folder(result.name)
            result.details["folder"] = str(folder)
            write_text(folder / "result" / "result.json", json.dumps(dict(result.data)))
        values = {key: value for key, value in result.to_json().items() if key != "data"}
        write_text(folder / JOURNAL, json.dumps({"schema": SCHEMA, **values}))
    except OSError as error:
        return f"Cannot write the decisions to {folder or runs_folder()} ({error.strerror}); save the session."
    return ""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_journal(folder: Path) -> dict[str, Any] | None:
    """Return what `save_journal` wrote to a run's folder, or None if there is nothing.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    path = folder / JOURNAL
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no {SCHEMA} file.")
    return values


def save_session(session: dict[str, Any], *, _self: Any) -> bool:
    """Put the results into a session that PyMOL is about to save."""
    results = state_of(_self).live(_self)
    if results:
        session[KEY] = {"schema": SCHEMA, "results": [result.to_json() for result in results.values()]}
    return True


def restore_session(session: dict[str, Any], *, _self: Any) -> bool:
    """Take the results out of a session that PyMOL has loaded."""
    state = state_of(_self)
    ok = True
    stored = session.get(KEY, {})
    if stored and stored.get("schema") != SCHEMA:
        print(" edseg: the session's proposals were saved by another version of the plugin; they stay mere atoms.")
        stored = {}
    for values in stored.get("results", ()):
        try:
            result = Result.from_json(values)
        except (KeyError, TypeError, ValueError):
            ok = False
            continue
        state.results[result.name] = result
    if stored:
        define_colors(_self)
    state.live(_self)
    state.changed("results")
    return ok


def install(cmd: Any) -> None:
    """Make PyMOL call the two tasks when it saves and loads sessions."""
    for tasks, task in (
        (cmd._pymol._session_save_tasks, save_session),
        (cmd._pymol._session_restore_tasks, restore_session),
    ):
        # A plugin loaded anew replaces its old tasks.
        tasks[:] = [t for t in tasks if getattr(t, "__module__", "") != __name__]
        tasks.append(task)
