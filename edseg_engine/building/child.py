"""Programs that run as child processes: with a log, a time limit and a way to stop them."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from edseg_engine.errors import BuildError, ProgramCrash
from edseg_engine.extras import missing_extra
from edseg_engine.io.temporary import no_room

_POLL = 0.1
_PR_SET_PDEATHSIG = 1
#: So many of the last lines of a log say why a program stopped.
_TAIL = 3
#: Bytes without which a disk is full.
_LEAST_ROOM = 1 << 20

#: Packages of the extra ``build``, by the modules that they bring.
PACKAGES = {"coot_headless_api": "coot-headless-api", "servalcat": "servalcat"}


def require_programs(packages: Mapping[str, str] = PACKAGES) -> None:
    """Make sure that the programs of the extra ``build`` are installed.

    Raises
    ------
    DependencyError
        If one is missing.
    """
    for module, package in packages.items():
        if importlib.util.find_spec(module) is None:
            raise missing_extra(package, "build")


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def monomer_library() -> Path:
    """Return the monomer library that comes with Coot's engine."""
    spec = importlib.util.find_spec("coot_headless_api")
    if spec is None or spec.origin is None:
        raise missing_extra("coot-headless-api", "build")
    return Path(spec.origin).parent / "share" / "coot" / "lib" / "data" / "monomers"


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_child(
    command: Sequence[str],
    folder: Path,
    name: str,
    timeout: float,
    watch: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program in `folder` and wait for its end.

    Parameters
    ----------
    command
        The program and its arguments.
    folder
        Working directory; the output goes to ``name.log`` in it.
    name
        What the program is called in messages.
    timeout
        Seconds after which it is stopped.
    watch
        Called every tenth of a second with what was added to the log; an exception from it stops the program.
    environment
        Variables to add to the environment.

    Raises
    ------
    BuildError
        If the program cannot be started, fails or takes too long; `ProgramCrash` if a signal ended it.
    OutputError
        If it fails where the disk is full.
    """
    log = folder / f"{name.replace(' ', '-').replace(chr(39), '')}.log"
    deadline = time.monotonic() + timeout
    with log.open("wb") as output, log.open("rb") as lines:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            raise BuildError(f"{name} cannot be started: {error.strerror or error}.") from error
        try:
            while process.poll() is None:
                watch(lines.read().decode(errors="replace"))
                if time.monotonic() > deadline:
                    raise BuildError(f"{name} was stopped after {timeout:.0f} s.")
                time.sleep(_POLL)
            watch(lines.read().decode(errors="replace"))
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode:
        if shutil.disk_usage(folder).free < _LEAST_ROOM:
            raise no_room(folder)
        tail = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()][-_TAIL:]
        kind = ProgramCrash if process.returncode < 0 else BuildError
        raise kind(f"{name} stopped with an error ({process.returncode}): {' / '.join(tail) or 'no message'}.")
