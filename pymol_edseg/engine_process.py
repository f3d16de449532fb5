"""One run of the engine as a child process. Threads talk to the child and never to PyMOL; PyMOL's thread asks."""

from __future__ import annotations

import collections
import contextlib
import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymol_edseg.engine import NO_WINDOW, Engine, EngineError
from pymol_edseg.records import MapReference, RunFlags
from pymol_edseg.storage import MAP, RESULT, remove_run

#: How a run begins, with its share of the whole.
START = {"start": ("Starting the engine", 0.05)}
_GRACE = 5.0
#: From this fraction of the whole on, the time left can be judged.
_JUDGED = 0.15


@dataclass(frozen=True)
class Status:
    """Where a run stands: ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``; `fraction` is of the whole."""

    state: str = "running"
    stage: str = "start"
    fraction: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Task:
    """What the engine can be asked to do.

    Attributes
    ----------
    command
        The subcommand.
    doing
        What it does, as the log says it.
    stages
        Its stages with a title and the share of the whole that each takes, for a progress bar.
    finish
        Shows the results in PyMOL, by its thread, and returns what to say; raises ValueError if they cannot be read.
    after
        What is still to do in the run's own thread once the results are there; they stay if it raises EngineError.
    """

    command: str
    doing: str
    stages: Mapping[str, tuple[str, float]]
    finish: Callable[[Any, Run], str]
    after: Callable[[Run], None] = lambda run: None


@dataclass
class Run:
    """A run of the engine on a map file.

    Attributes
    ----------
    task
        What the engine does.
    name
        Name that the results will have.
    map
        The map object it was started for.
    engine
        How to start the engine.
    folder
        Folder of this run; the map is ``map.ccp4`` in it, the results come to ``result`` in it.
    arguments
        Words of the command line after the subcommand.
    flags
        How the command that started it reports.
    warnings
        Sentences for the user, once it is done.
    status, said
        Where it stands, and what the log said last.
    """

    task: Task
    name: str
    map: MapReference
    engine: Engine
    folder: Path
    arguments: Sequence[str]
    flags: RunFlags = field(default_factory=RunFlags)
    warnings: tuple[str, ...] = ()
    status: Status = Status()
    said: Status = Status()
    events: queue.SimpleQueue[Status] = field(default_factory=queue.SimpleQueue, repr=False)
    _began: float = field(default=0.0, repr=False)
    _reached: float = field(default=0.0, repr=False)
    _child: subprocess.Popen[str] | None = field(default=None, repr=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def active(self) -> bool:
        return self.status.state == "running"

    @property
    def results(self) -> Path:
        return self.folder / RESULT

    @property
    def title(self) -> str:
        """What is going on."""
        return self.stages[self.status.stage][0]

    @property
    def stages(self) -> dict[str, tuple[str, float]]:
        """The stages of the run, from its start."""
        return {**START, **self.task.stages}

    def seconds_left(self) -> float | None:
        """Return how long the run will still take, judged by what it has taken; None while it is too early to say."""
        done, passed = self.status.fraction, time.monotonic() - self._began
        return passed * (1 - done) / done if done > _JUDGED and passed > _GRACE else None

    def start(self) -> None:
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._work, name=f"edseg {self.name}", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the run to stop; its last event says when it has."""
        self._cancelled.set()
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the run's end, at most some time."""
        if self._thread is not None:
            self._thread.join(seconds)

    def poll(self) -> list[Status]:
        """Return what was reported since the last call, oldest first, and remember the last as `status`."""
        news: list[Status] = []
        with contextlib.suppress(queue.Empty):
            while True:
                news.append(self.events.get_nowait())
        if news:
            self.status = news[-1]
        return news

    def _work(self) -> None:
        try:
            self.events.put(Status())
            self.engine.version()
            end = self._talk()
            if end.state == "done":
                with contextlib.suppress(EngineError):
                    self.task.after(self)
        except EngineError as error:
            end = Status("failed", message=str(error))
        except OSError as error:
            end = Status("failed", message=f"Cannot run the engine: {error}.")
        if self._cancelled.is_set() and end.state != "done":
            end = Status("cancelled", message="Stopped.")
        (self.folder / MAP).unlink(missing_ok=True)
        if end.state != "done":
            remove_run(self.folder)
        self.events.put(end)

    def _talk(self) -> Status:
        """Start the child, read it to its end, and say how it ended."""
        command = [*self.engine.command, self.task.command, *self.arguments]
        command += ["--out", str(self.results), "--progress", "json"]
        with self._lock:
            if self._cancelled.is_set():
                return Status("cancelled")
            self._child = child = subprocess.Popen(
                command,
                env=self.engine.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                creationflags=NO_WINDOW,
            )
        threading.Thread(target=self._kill_if_it_stays, args=(child,), daemon=True).start()
        tail: collections.deque[str] = collections.deque(maxlen=20)
        drain = threading.Thread(target=tail.extend, args=(child.stderr,), daemon=True)
        drain.start()
        end = None
        for line in child.stdout or ():
            end = self._read(line) or end
        code = child.wait()
        drain.join(_GRACE)
        if end is not None and (end.state == "failed" or code == 0):
            return end
        return Status("failed", message=_died(code, tail))

    def _read(self, line: str) -> Status | None:
        """Report a line of progress; return the end of the run if the line reports it."""
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, KeyError, TypeError):
            return None
        if kind == "progress" and event.get("stage") in self.task.stages:
            stages, stage = self.stages, event["stage"]
            before = sum(share for _, share in list(stages.values())[: list(stages).index(stage)])
            # Stages may recur; the bar does not go back.
            self._reached = max(self._reached, before + stages[stage][1] * float(event.get("fraction", 0.0)))
            self.events.put(Status("running", stage, self._reached, str(event.get("message", ""))))
        elif kind == "result":
            return Status("done", list(self.stages)[-1], 1.0)
        elif kind == "error":
            return Status("failed", message=_in_own_words(str(event.get("message", "The engine failed."))))
        return None

    def _kill_if_it_stays(self, child: subprocess.Popen[str]) -> None:
        """Kill a child that does not end within some seconds after it was asked to."""
        while child.poll() is None and not self._cancelled.wait(0.2):
            pass
        deadline = time.monotonic() + _GRACE
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if child.poll() is None:
            child.kill()


def _in_own_words(message: str) -> str:
    """Return a message of the engine with the arguments of the commands: ``--device cpu`` is ``device=cpu`` here."""
    named = re.sub(r"--([a-z]+)[ =](auto|cpu|cuda|mps|[\d.]*\d)", r"\1=\2", message)
    return re.sub(r"--([a-z]+)", r"\1=", named)


def _died(code: int, tail: Sequence[str]) -> str:
    last = next((line.strip() for line in reversed(tail) if line.strip()), "")
    if code < 0 and sys.platform != "win32":
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        return f"The engine was killed by {name}{hint}. The session is unchanged."
    return f"The engine failed with exit code {code}: {last or 'it gave no reason'}"
