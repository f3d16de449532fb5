"""Where the engine is: a Python that has ``edseg_engine``, or the ``edseg`` command."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The plugin's own version; an engine works with it if the first two numbers are the same.
VERSION = "0.1.0"
#: Name of the preference and of the environment variable that give the engine's Python.
PREFERENCE, VARIABLE = "edseg_python", "EDSEG_PYTHON"

_SECONDS = 60


class EngineError(Exception):
    """No engine can be used, in a sentence that says what to do."""


@dataclass(frozen=True)
class Engine:
    """A way to start the engine.

    Attributes
    ----------
    command
        The words before the subcommand.
    source
        How it was found: ``"preference"``, ``"EDSEG_PYTHON"``, ``"same interpreter"`` or ``"PATH"``.
    folder
        Folder to put on the child's module path; None where the child finds the engine itself.
    """

    command: tuple[str, ...]
    source: str
    folder: str | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment for the child: that of PyMOL without what would lead another Python astray."""
        environment = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONUTF8="1")
        if self.source != "same interpreter":
            for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"):
                environment.pop(name, None)
        if self.folder:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (self.folder, environment.get("PYTHONPATH"))))
        return environment

    def version(self) -> str:
        """Ask the engine for its version.

        Raises
        ------
        EngineError
            If it does not start or is of another version than the plugin.
        """
        try:
            child = subprocess.run(
                [*self.command, "--version"],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                creationflags=NO_WINDOW,
            )
        except FileNotFoundError:
            raise EngineError(f"{self.command[0]} ({self.source}) does not exist; {_ADVICE}.") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise EngineError(f"Cannot start {self.command[0]} ({self.source}): {error}; {_ADVICE}.") from error
        match = re.search(r"edseg (\d+\.\d+\S*)", child.stdout)
        if child.returncode or not match:
            reason = child.stderr.strip().rpartition("\n")[2] or f"exit code {child.returncode}"
            raise EngineError(f"{self.command[0]} ({self.source}) does not run edseg_engine ({reason}); {_ADVICE}.")
        found = match.group(1)
        if found.split(".")[:2] != VERSION.split(".")[:2]:
            raise EngineError(
                f"The engine of {self.command[0]} is version {found}, but the plugin is version {VERSION}; install the "
                "same version of both."
            )
        return found

    def convert(self, source: Path, target: Path, options: Sequence[str], idle: Callable[[], object]) -> float | None:
        """Let the engine write reflections as a CCP4 map, calling `idle` meanwhile; return their resolution in Å.

        Raises
        ------
        EngineError
            If it cannot, in the engine's own words.
        """
        self.version()
        command = [*self.command, "convert", str(source), str(target), *options, "--progress", "json"]
        child = subprocess.Popen(
            command,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            creationflags=NO_WINDOW,
        )
        while child.poll() is None:
            time.sleep(0.05)
            idle()
        output, errors = child.communicate()
        if child.returncode:
            raise EngineError(errors.strip().rpartition("\n")[2].removeprefix("edseg: ") or "The engine failed.")
        resolution: float | None = json.loads(output)["resolution"]
        return resolution


#: How to install edseg. It is in no package index; once it is, this is what changes in messages.
INSTALL = "pip install . in a checkout of edseg, or pip install edseg-VERSION-py3-none-any.whl"

_ADVICE = (
    f"install edseg in a Python of your own ({INSTALL}) and set its path with "
    "'edseg_status python=/path/to/python' or the environment variable EDSEG_PYTHON"
)


#: Creation flags that keep Windows from opening a console for the child.
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def find_engine(preference: Callable[[str], str | None]) -> Engine:
    """Return the engine of the preference, of ``EDSEG_PYTHON``, of this interpreter or on the PATH, the first of them.

    Parameters
    ----------
    preference
        Returns PyMOL's plugin preference of a name.

    Raises
    ------
    EngineError
        If there is none.
    """
    for source, python in (("preference", preference(PREFERENCE)), (VARIABLE, os.environ.get(VARIABLE))):
        if python:
            return Engine((os.path.expanduser(python), "-m", "edseg_engine"), source)
    spec = importlib.util.find_spec("edseg_engine")
    if spec and spec.origin and (python := _this_python()):
        return Engine((python, "-m", "edseg_engine"), "same interpreter", str(Path(spec.origin).parents[1]))
    if program := shutil.which("edseg"):
        return Engine((program,), "PATH")
    raise EngineError(f"The engine was not found: {_ADVICE}.")


def _this_python() -> str | None:
    """Return the interpreter that runs PyMOL; where PyMOL is a program of its own, the Python beside it."""
    names = ("python.exe",) if sys.platform == "win32" else ("python3", "python")
    beside = [Path(sys.prefix) / folder / name for folder in ("bin", "") for name in names]
    candidates = [Path(sys.executable)] if sys.executable else []
    return next((str(p) for p in (*candidates, *beside) if p.name.lower().startswith("python") and p.exists()), None)
