"""The folders of runs: the engine's results in ``result``, and the decisions in ``journal.json``.

The folders of the last runs are kept, so that `edseg_load` brings back what a crash took. Only folders that the plugin
made are ever deleted: a file in them says so and names them, so that copies and renamed folders are the user's.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JOURNAL, RESULT, MAP = "journal.json", "result", "map.ccp4"
#: Where runs are kept; the environment variable of that name changes it.
RUNS_VARIABLE = "EDSEG_RUNS"
_MARKER, _MARK = ".edseg-run", "Made by the edseg plugin, which may delete this folder: {}\n"
_RUNS_KEPT = 20
_DAY = 86400.0


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
    own = [folder for folder in parent.iterdir() if is_own(folder)]
    # A run's map is deleted at its end; one that is a day old was left by a PyMOL that died meanwhile.
    dead = [folder for folder in own if _age(folder / MAP) > _DAY]
    old = sorted((folder for folder in own if (folder / RESULT).is_dir()), key=_unused, reverse=True)
    for folder in dead + old[: max(0, len(old) - _RUNS_KEPT + 1)]:
        remove_run(folder)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        (folder / _MARKER).write_text(_MARK.format(folder.name), encoding="utf-8")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def is_own(folder: Path) -> bool:
    """Return whether the plugin made this folder, under this name."""
    try:
        return (folder / _MARKER).read_text(encoding="utf-8") == _MARK.format(folder.name)
    except (OSError, ValueError):
        return False


def remove_run(folder: Path) -> None:
    """Delete the folder of a run, unless it is not one that the plugin made."""
    if is_own(folder):
        shutil.rmtree(folder, ignore_errors=True)


def kept_runs() -> list[Path]:
    """Return the folders of complete runs with decisions, newest last."""
    folders = [path.parent for path in runs_folder().glob(f"*/{JOURNAL}") if (path.parent / RESULT).is_dir()]
    return sorted(folders, key=_unused, reverse=True)


def _unused(folder: Path) -> float:
    """Return the seconds since a run's decisions or, where there are none, its results were written."""
    return _age(folder / JOURNAL if (folder / JOURNAL).exists() else folder / RESULT)


def _age(path: Path) -> float:
    """Return the seconds since a file was changed; less than 0 if there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return -1.0


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


def write_journal(folder: Path, values: Mapping[str, Any]) -> None:
    """Write the decisions on a result to its folder; raises OSError."""
    write_text(folder / JOURNAL, json.dumps(values))


def read_journal(folder: Path) -> Any:
    """Return what `write_journal` wrote to a run's folder, or None if there is nothing.

    Raises
    ------
    ValueError
        If it cannot be read at all.
    """
    path = folder / JOURNAL
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (OSError, RecursionError) as error:
        raise ValueError(f"Cannot read {path}.") from error


def keep_damaged_journal(folder: Path) -> Path:
    """Set a copy of a damaged journal aside, before it is written anew; raises OSError."""
    number = 1
    while (copy := folder / f"journal-damaged-{number}.json").exists():
        number += 1
    return Path(shutil.copyfile(folder / JOURNAL, copy))
