"""A batch: what is still to be done of it, and the doing, with every outcome in the journal at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from edseg_engine.batch.cluster import CLUSTERS, ClusterRunner
from edseg_engine.batch.inputs import find_maps
from edseg_engine.batch.journal import Journal
from edseg_engine.batch.journal_file import open_journal
from edseg_engine.batch.local import LocalRunner
from edseg_engine.batch.plan import Plan, document_of, make_plan
from edseg_engine.batch.records import Done, Failed, Job, Outcome, Work
from edseg_engine.batch.settings import MapSettings, check_task
from edseg_engine.batch.tasks import require_task, task_options
from edseg_engine.devices import choose_device
from edseg_engine.errors import OptionError, OutputError
from edseg_engine.io.temporary import FULL
from edseg_engine.memory import available_memory
from edseg_engine.progress import Progress


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch.

    Attributes
    ----------
    task
        ``"segment"`` or ``"build"``.
    settings
        Of all maps for which a manifest says nothing else.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    retry_failed
        Whether maps that failed before are tried again.
    memory
        Bytes that the maps at work on this machine may need together, of the task ``segment`` only; None takes what is
        free.
    overlap
        Whether a map is prepared while the network runs on another, on this machine.
    scheduler
        None works in this process; else see `edseg_engine.batch.cluster.ClusterRunner`.
    workers
        How many workers a cluster is started with.
    """

    task: str = "segment"
    settings: MapSettings = field(default_factory=MapSettings)
    device: str = "auto"
    retry_failed: bool = False
    memory: float | None = None
    overlap: bool = True
    scheduler: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        check_task(self.settings, self.task)
        task_options(replace(self.settings, sequence=None), self.device, self.task)
        if self.memory is not None and not self.memory > 0:
            raise OptionError(f"The limit of memory must be more than nothing, not {self.memory / 1e9:g} GB.")
        if self.memory is not None and self.task == "build":
            raise OptionError("The task build has no limit of memory: it works on one map at a time.")
        if self.scheduler is not None and (self.memory is not None or not self.overlap):
            raise OptionError(
                "A limit of memory and one map at a time are of this machine; a scheduler's workers have neither."
            )
        if self.workers < 1:
            raise OptionError(f"The number of workers must be at least 1, not {self.workers}.")
        if self.workers > 1 and self.scheduler not in CLUSTERS:
            raise OptionError(
                "Workers are started only by the schedulers local and slurm; use --scheduler local for those on this "
                "machine."
            )


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    Attributes
    ----------
    total, done, failed
        Numbers of maps, those of earlier runs included.
    seconds_left
        About how long the rest takes; None before the first map of this run is finished.
    name
        The map that this report is about; empty at the start.
    stage
        How far that map is; None if it is finished.
    outcome
        What came of it, if it is finished.
    """

    total: int
    done: int
    failed: int
    seconds_left: float | None = None
    name: str = ""
    stage: Progress | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class BatchResult:
    """What a batch came to: how many maps have a result, how many failed, and how many are left to do."""

    done: int
    failed: int
    left: int = 0

    @property
    def total(self) -> int:
        return self.done + self.failed + self.left


BatchCallback = Callable[[BatchProgress], None]


def ignore_batch_progress(progress: BatchProgress) -> None:
    """A callback that does nothing."""


def never() -> bool:
    """A batch that nobody stops."""
    return False


def run_batch(
    inputs: Sequence[Path | str],
    directory: Path | str,
    options: BatchOptions = BatchOptions(),
    progress: BatchCallback = ignore_batch_progress,
    stop: Callable[[], bool] = never,
) -> BatchResult:
    """Work on many maps; go on where an earlier run with the same `directory` ended, however it ended.

    A map is finished if the journal says so and its result is there as it was written down. A map that has changed, or
    is asked for something else, is worked on again. What goes wrong with one map is written down and stops no other.

    Parameters
    ----------
    inputs
        Files, folders, patterns and manifests, see `edseg_engine.batch.inputs.find_maps`.
    directory
        For the journal, and one directory of results for each map.
    options
        See `BatchOptions`.
    progress
        Called often, by different threads one after the other; raise `edseg_engine.errors.Cancelled` from it to stop at
        once.
    stop
        Asked before each map; once it says yes, maps at work are finished and no other is begun.

    Raises
    ------
    EdsegError
        One of its subclasses if the batch cannot be run at all: bad options, no maps, a device or programs that are
        missing, an output directory that cannot be written, a full disk.
    Cancelled
        If `progress` raised it.
    """
    directory = Path(directory).absolute()
    require_task(options.task)
    if options.scheduler is None:
        choose_device(options.device)
    maps = find_maps(inputs, options.settings, directory)
    with open_journal(directory, options.task) as journal:
        plan = make_plan(maps, journal, directory, retry_failed=options.retry_failed)
        return _Run(directory, options, journal, plan, progress, stop).run()


@dataclass
class _Run:
    directory: Path
    options: BatchOptions
    journal: Journal
    plan: Plan
    progress: BatchCallback
    stop: Callable[[], bool]
    at_work: set[str] = field(default_factory=set)
    finished: int = 0
    speaking: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.state = BatchProgress(self.plan.total, self.plan.done, self.plan.failed)

    def run(self) -> BatchResult:
        self._tell(self.state)
        start = time.monotonic()
        try:
            with closing(self._outcomes()) as outcomes:
                for work, outcome in outcomes:
                    self._finish(work, outcome, start)
        finally:
            with suppress(OutputError):  # on a full disk the first error is the one to report
                for name in self.at_work:
                    self.journal.give_back(name)
        left = self.state.total - self.state.done - self.state.failed
        return BatchResult(self.state.done, self.state.failed, left)

    def _outcomes(self) -> Generator[tuple[Work, Outcome]]:
        """Do what is to be done, and yield each map with what came of it."""
        if self.options.scheduler is not None:
            runner = ClusterRunner(self.options.scheduler, self.options.workers)
            if self.plan.todo:
                yield from runner(self._works(self.plan.todo))
            return
        memory = self.options.memory or available_memory() or float("inf")
        for jobs, overlap in ((self.plan.fresh, self.options.overlap), (self.plan.suspects, False)):
            yield from LocalRunner(self._report, memory, overlap)(self._works(jobs))

    def _works(self, jobs: Sequence[Job]) -> Iterator[Work]:
        """Yield what is to be done, and write down that it begins."""
        for job in jobs:
            if self.stop():
                return
            work = Work(job, self.directory / job.name, self.options.task, self.options.device)
            self.at_work.add(job.name)  # first: what interrupts the next line is often raised after it was written
            before, elsewhere = document_of(self.options.task, work.directory), self.options.scheduler is not None
            self.journal.begin(job.name, before, elsewhere=elsewhere)
            yield work

    def _report(self, name: str, stage: Progress) -> None:
        self._tell(replace(self.state, name=name, stage=stage))

    def _finish(self, work: Work, outcome: Outcome, start: float) -> None:
        name = work.job.name
        if isinstance(outcome.result, Failed):
            self._stop_if_full(outcome.result)
        self.journal.finish(name, outcome)
        self.at_work.discard(name)
        self.finished += 1
        worked = isinstance(outcome.result, Done)
        done, failed = self.state.done + worked, self.state.failed + (not worked)
        left = (time.monotonic() - start) / self.finished * (self.state.total - done - failed)
        self.state = replace(self.state, done=done, failed=failed, seconds_left=left)
        self._tell(replace(self.state, name=name, outcome=outcome))

    def _tell(self, progress: BatchProgress) -> None:
        with self.speaking:
            self.progress(progress)

    def _stop_if_full(self, failed: Failed) -> None:
        """End the batch if a map failed only because the disk is full, as all others would."""
        if failed.kind == OutputError.__name__ and any(os.strerror(number) in failed.message for number in FULL):
            raise OutputError(f"{failed.message} Make room and start the batch again; it goes on where it was.")
