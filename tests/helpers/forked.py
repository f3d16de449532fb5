"""Real processes of the engine that start at once: forked off one that has imported it, not off the tests."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["edseg_engine.batch.run", "distributed"])


@contextmanager
def running(target: Callable[..., None], *arguments: object) -> Iterator[BaseProcess]:
    """Call a function of a module in a process, which is killed at the end of the context if it still runs."""
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


@contextmanager
def succession(target: Callable[..., None], *arguments: object) -> Iterator[list[BaseProcess]]:
    """Call a function in a process, and in another one whenever it ends; gives all of them, the last is at work."""
    processes: list[BaseProcess] = []
    over = threading.Event()

    def follow() -> None:
        while not over.is_set():
            with running(target, *arguments) as process:
                processes.append(process)
                while process.is_alive() and not over.is_set():
                    process.join(0.1)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield processes
    finally:
        over.set()
        thread.join()
