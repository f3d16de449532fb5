"""The maps of a batch on many machines, by Dask: each worker does all of a map, and writes its result itself."""

from __future__ import annotations

import importlib.util
import logging
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from edseg_engine.batch.records import MOST_DEATHS, Failed, Outcome, Work, killer_of
from edseg_engine.batch.tasks import do_work
from edseg_engine.errors import DeviceError, OptionError
from edseg_engine.extras import missing_extra

#: Clusters that can be started, by their name, besides the address of one that is there.
CLUSTERS = ("local", "slurm")
#: Seconds after which it is looked up which workers there are, if no map is finished before.
_WAKE_S = 0.5
#: Seconds within which a scheduler that is said to be there must answer.
_ANSWER_S = 10


class ClusterRunner:
    """Does work on the workers of a Dask scheduler.

    All of them have to see the same files under the same names as this process. A worker has no more maps than threads,
    and none in store, so that its death counts against only those that were really at work. They are tried again when
    no others are left, each on a worker that has nothing else to do, and fail at their `MOST_DEATHS`-th death in a row.

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
    at_work: dict[Any, tuple[Work, str]] = {}
    stack.callback(lambda: client.cancel(list(at_work), force=True))
    suspects: deque[Work] = deque()
    deaths: Counter[str] = Counter()
    finished = threading.Event()

    def give(work: Work, worker: str) -> None:
        future = client.submit(do_work, work, workers=[worker], pure=False)
        at_work[future] = work, worker
        future.add_done_callback(lambda _: finished.set())

    more = True
    while more or suspects or at_work:
        threads = client.nthreads()
        for future in [future for future, (_, worker) in at_work.items() if worker not in threads]:
            suspect, _ = at_work.pop(future)
            client.cancel([future], force=True)
            deaths[suspect.job.name] += 1
            if deaths[suspect.job.name] == MOST_DEATHS:
                yield suspect, Outcome(killer_of("workers"))
            else:
                suspects.append(suspect)
        idle = _running(client, threads) - Counter(worker for _, worker in at_work.values())
        if more:
            for worker in idle.elements():
                work = next(works, None)
                if work is None:
                    more = False
                    break
                give(work, worker)
        else:
            for worker in [worker for worker in idle if idle[worker] == threads[worker]][: len(suspects)]:
                give(suspects.popleft(), worker)
        finished.wait(_WAKE_S)
        finished.clear()
        for future in [future for future in at_work if future.done()]:
            outcome = _outcome_of(future)
            if outcome is not None:
                future.release()
                yield at_work.pop(future)[0], outcome


def _running(client: Any, threads: Mapping[str, int]) -> Counter[str]:
    """Return the threads of those workers that take work: one whose memory is nearly full pauses."""
    known = client.scheduler_info(n_workers=-1)["workers"]
    return Counter({worker: threads[worker] for worker in threads if known.get(worker, {}).get("status") == "running"})


def _lost() -> DeviceError:
    return DeviceError("The Dask scheduler was lost; start the batch again, and it goes on where it was.")


def _outcome_of(future: Any) -> Outcome | None:
    """Return what came of a map, None if that was lost with its worker.

    Raises
    ------
    DeviceError
        If there is no scheduler any more to ask.
    """
    from distributed import KilledWorker

    try:
        error = future.exception(timeout=_ANSWER_S)
        if error is None:
            outcome: Outcome = future.result(timeout=_ANSWER_S)
            return outcome
    except TimeoutError:
        return None
    if future.cancelled():
        raise _lost()
    if isinstance(error, KilledWorker):  # of workers that came back under the same address before they were missed
        return Outcome(killer_of("workers"))
    return Outcome(Failed(type(error).__name__, f"The worker could not do this map: {error}"))
