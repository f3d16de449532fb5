"""A batch on a real Dask scheduler and real workers on this machine, one of which is killed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from batches import noise_map, quick, small_network, states
from edseg_engine.batch.run import BatchProgress, run_batch
from edseg_engine.errors import DeviceError, OptionError
from forked import running

pytest.importorskip("distributed")
from distributed import Client, LocalCluster, Worker


def work(scheduler: str, folder: Path) -> None:
    async def serve() -> None:
        async with Worker(scheduler, nthreads=1, local_directory=str(folder)) as worker:
            await worker.finished()

    asyncio.run(serve())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, BaseProcess]]:
    """Address of a scheduler with two workers, and one of these."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(LocalCluster(n_workers=0, dashboard_address=None))
        workers = [stack.enter_context(running(work, scheduler.scheduler_address, tmp_path)) for _ in range(2)]
        with Client(scheduler.scheduler_address) as client:
            client.wait_for_workers(2, timeout=120)
        yield scheduler.scheduler_address, workers[0]


def test_a_killed_worker_costs_nothing_but_time(cluster: tuple[str, BaseProcess], tmp_path: Path) -> None:
    address, worker = cluster
    options = quick(small_network(tmp_path))
    maps = [noise_map(tmp_path / "data" / f"{number}.ccp4", number, edge=24) for number in range(8)]
    bad = tmp_path / "data" / "bad.mtz"
    bad.write_text("no map")

    def kill_one(progress: BatchProgress) -> None:
        if progress.done == 2 and progress.outcome is not None:
            worker.kill()
            worker.join()

    spread = replace(options, scheduler=address)
    result = run_batch([bad, *maps], tmp_path / "spread", spread, kill_one)
    assert (result.done, result.failed) == (8, 1)
    assert worker.exitcode == -signal.SIGKILL
    assert states(tmp_path / "spread")["bad"] == "failed"
    run_batch(maps, tmp_path / "here", options)
    for number in range(8):
        one, other = (
            json.loads((tmp_path / out / str(number) / "result.json").read_text()) for out in ("here", "spread")
        )
        assert one.pop("timings").keys() == other.pop("timings").keys()
        assert one == other
    assert run_batch([bad, *maps], tmp_path / "spread", spread).done == 8  # all of them before
    assert list((tmp_path / "spread").glob(".edseg-*")) == []


def test_schedulers_that_are_not_there(tmp_path: Path) -> None:
    options = quick(small_network(tmp_path))
    maps = [noise_map(tmp_path / "a.ccp4")]
    with pytest.raises(OptionError, match="nowhere"):
        run_batch(maps, tmp_path / "out", replace(options, scheduler="nowhere"))
    with pytest.raises(DeviceError, match="does not answer"):
        run_batch(maps, tmp_path / "out", replace(options, scheduler="tcp://127.0.0.1:1"))
