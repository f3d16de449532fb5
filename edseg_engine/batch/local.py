"""The maps of a batch on this machine: while the network runs on one, the next is prepared and the last is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from edseg_engine.batch.records import Outcome, Work
from edseg_engine.batch.tasks import Step, failure_of, steps_of
from edseg_engine.errors import Cancelled, DeviceError
from edseg_engine.pipeline.sizes import BYTES_FIXED
from edseg_engine.progress import Progress

#: Is called with the name of a map and its progress, from any thread.
MapProgress = Callable[[str, Progress], None]
_WAKE_S = 0.5


class MemoryBudget:
    """Bytes that the maps at work share; who does not fit beside the others waits for them."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._taken: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closed = False

    def take(self, name: str, needed: float) -> None:
        """Wait until a map may take `needed` bytes.

        Raises
        ------
        DeviceError
            If it does not fit even alone.
        Cancelled
            If the batch has ended in the meantime.
        """
        if needed > self._limit:
            raise DeviceError(
                f"This map needs about {needed / 1e9:.1f} GB of memory, and {self._limit / 1e9:.1f} GB are free or "
                "allowed by --memory; close other programs, raise --memory, or work on a part of the map."
            )
        needed -= BYTES_FIXED  # what the libraries take, they take once
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._fits(needed))
            if self._closed:
                raise Cancelled("Stopped.")
            self._taken[name] = needed

    def give_back(self, name: str) -> None:
        """Let others have what a map had."""
        with self._changed:
            self._taken.pop(name, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, needed: float) -> bool:
        return not self._taken or sum(self._taken.values()) + needed <= self._limit - BYTES_FIXED


@dataclass
class _InHand:
    """A map at one of its steps."""

    work: Work
    steps: tuple[Step, ...]
    at: int = 0
    seconds: float = 0.0


class LocalRunner:
    """Does work in this process.

    Each step of the work has a thread of its own, through which the maps go one after the other. The network is one of
    the steps, so it runs on one map at a time.

    Parameters
    ----------
    progress
        Is told of each map's progress.
    memory
        Bytes that all maps at work may need together.
    overlap
        Whether different maps may be at work at once.
    """

    def __init__(self, progress: MapProgress, memory: float, overlap: bool) -> None:
        self._progress, self._memory, self._overlap = progress, memory, overlap

    def __call__(self, works: Iterator[Work]) -> Iterator[tuple[Work, Outcome]]:
        """Take works while there are any, and yield each with what came of it."""
        budget, stopped = MemoryBudget(self._memory), threading.Event()

        def in_hand(work: Work) -> _InHand:
            name = work.job.name

            def report(progress: Progress) -> None:
                if stopped.is_set():
                    raise Cancelled("Stopped.")
                self._progress(name, progress)

            return _InHand(work, steps_of(work, report, lambda needed: budget.take(name, needed)))

        with ExitStack() as threads:
            try:
                yield from self._run(map(in_hand, works), budget, threads)
            finally:  # before the threads are waited for
                stopped.set()
                budget.close()

    def _run(self, works: Iterator[_InHand], budget: MemoryBudget, stack: ExitStack) -> Iterator[tuple[Work, Outcome]]:
        threads: list[ThreadPoolExecutor] = []
        running: dict[Future[Any], _InHand] = {}

        def go_on(hand: _InHand, given: Any) -> None:
            if hand.at == len(threads):
                threads.append(stack.enter_context(ThreadPoolExecutor(1, f"step-{hand.at}")))
            running[threads[hand.at].submit(_timed, hand, given)] = hand

        more = True
        while more or running:
            while more and len(running) < self._most(running):
                hand = next(works, None)
                more = hand is not None
                if hand is not None:
                    go_on(hand, None)
            finished, _ = wait(running, _WAKE_S, FIRST_COMPLETED)
            for future in finished:
                hand = running.pop(future)
                error = future.exception()
                hand.at += 1
                if error is None and hand.at < len(hand.steps):
                    go_on(hand, future.result())
                    continue
                budget.give_back(hand.work.job.name)
                result = failure_of(error) if error is not None else future.result()
                yield hand.work, Outcome(result, hand.seconds)

    def _most(self, running: dict[Future[Any], _InHand]) -> int:
        """Return how many maps may be at work: one for each step, of which none is to wait in front of the first."""
        if not self._overlap:
            return 1
        if any(hand.at == 0 for hand in running.values()):
            return len(running)
        return max((len(hand.steps) for hand in running.values()), default=1)


def _timed(hand: _InHand, given: Any) -> Any:
    start = time.perf_counter()
    try:
        return hand.steps[hand.at](given)
    finally:
        hand.seconds += time.perf_counter() - start
