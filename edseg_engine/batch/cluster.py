"""The maps of a batch on many machines, by Dask: each worker does all of a map, and writes its result itself."""

from __future__ import annotations

import importlib.util
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from edseg_engine.batch.records import Failed, Outcome, Work
from edseg_engine.batch.tasks import do_work
from edseg_engine.errors import DeviceError, OptionError
from edseg_engine.extras import missing_extra

#: Clusters that can be started, by their name, besides the address of one that is there.
CLUSTERS = ("local", "slurm")
#: Maps that each thread of a worker has in hand and in store, so that none waits for the next.
_STORE = 2
#: Seconds within which a scheduler that is said to be there must answer.
_ANSWER_S = 10


class ClusterRunner:
    """Does work on the workers of a Dask scheduler.

    All of them have to see the same files under the same names as this process. A map whose worker dies is given to
    another one.

    Parameters
    ----------
    scheduler
        Address of a scheduler, such as ``"tcp://host:8786"``; ``"local"`` starts workers on this machine; ``"slurm"``
        starts each as a job, as the configuration of dask-jobqueue says.
    workers
        How many workers are started.

    Raises
    ------
    DependencyError
        If Dask is not installed.
    OptionError
        If the scheduler is neither.
    """

    def __init__(self, scheduler: str, workers: int) -> None:
        needed = {"distributed": "distributed"} | ({"dask_jobqueue": "dask-jobqueue"} if scheduler == "slurm" else {})
        for module, package in needed.items():
            if importlib.util.find_spec(module) is None:
                raise missing_extra(package, "dask")
        if scheduler not in CLUSTERS and "://" not in scheduler:
            raise OptionError(
                f"There is no scheduler {scheduler!r}; give an address such as tcp://host:8786, local or slurm."
            )
        self._scheduler, self._workers = scheduler, workers

    def __call__(self, works: Iterator[Work]) -> Iterator[tuple[Work, Outcome]]:
        """Take works while there are any, and yield each with what came of it.

        Raises
        ------
        DeviceError
            If the scheduler does not answer, or no longer.
        """
        with ExitStack() as stack:
            client = self._client(stack)
            try:
                yield from _spread(works, client, stack)
            except OSError as error:
                raise _lost() from error

    def _client(self, stack: ExitStack) -> Any:
        """Return a client of the scheduler; `stack` closes it, and the cluster if one was started."""
        from distributed import Client

        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what goes wrong with it is raised
        where = self._scheduler if self._scheduler not in CLUSTERS else stack.enter_context(self._cluster())
        try:
            return stack.enter_context(Client(where, timeout=_ANSWER_S, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise DeviceError(f"The Dask scheduler {self._scheduler} does not answer: {error}.") from error

    def _cluster(self) -> Any:
        if self._scheduler == "slurm":
            from dask_jobqueue import SLURMCluster

            try:
                cluster = SLURMCluster()
            except (ValueError, TypeError) as error:
                raise OptionError(
                    f"The configuration of dask-jobqueue does not say enough: {error} docs/batch.md has an example."
                ) from error
            cluster.scale(jobs=self._workers)
            return cluster
        from distributed import LocalCluster

        with _interrupts_ignored():  # Ctrl-C goes to the workers, too, which are to finish their maps
            return LocalCluster(n_workers=self._workers, threads_per_worker=1, dashboard_address=None)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that are started in this context ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _spread(works: Iterator[Work], client: Any, stack: ExitStack) -> Iterator[tuple[Work, Outcome]]:
    """Give works to the workers, and yield each when it is done; `stack` takes back those that are not."""
    from distributed import as_completed

    at_work: dict[Any, Work] = {}
    stack.callback(lambda: client.cancel(list(at_work), force=True))
    finished = as_completed(loop=client.loop)
    more = True
    while more or at_work:
        while more and len(at_work) < _STORE * max(1, sum(client.nthreads().values())):
            work = next(works, None)
            more = work is not None
            if work is not None:
                future = client.submit(do_work, work, pure=False)
                at_work[future] = work
                finished.add(future)
        if at_work:
            future = next(finished)
            outcome = _outcome_of(future)
            yield at_work.pop(future), outcome


def _lost() -> DeviceError:
    return DeviceError("The Dask scheduler was lost; start the batch again, and it goes on where it was.")


def _outcome_of(future: Any) -> Outcome:
    """Return what came of a map; raises `DeviceError` if there is no scheduler any more to ask."""
    from distributed import KilledWorker

    error = future.exception()
    if error is None:
        outcome: Outcome = future.result()
        return outcome
    if isinstance(error, KilledWorker):
        message = (
            "Several workers died while this map was at work, as they do when memory runs out; --retry-failed tries it "
            "again."
        )
        return Outcome(Failed("DeviceError", message))
    if future.status in ("cancelled", "lost"):
        raise _lost()
    return Outcome(Failed(type(error).__name__, f"The worker could not do this map: {error}"))
