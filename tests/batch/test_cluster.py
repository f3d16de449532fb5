"""A batch on a real Dask scheduler and real workers on this machine, which a map kills."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batches import journal_of, let_kill, noise_map, quick, small_network
from edseg_engine.batch import cluster
from edseg_engine.batch.records import Failed
from edseg_engine.batch.run import run_batch
from edseg_engine.errors import DeviceError, OptionError
from forked import succession

pytest.importorskip("distributed")
from distributed import LocalCluster, Worker


def work(scheduler: str, folder: Path) -> None:
    async def serve() -> None:
        async with Worker(scheduler, nthreads=2, local_directory=str(folder)) as worker:
            await worker.finished()

    let_kill("deadly")
    asyncio.run(serve())


@pytest.fixture
def scheduler() -> Iterator[str]:
    """Address of a scheduler without workers."""
    with LocalCluster(n_workers=0, dashboard_address=None) as local:
        yield local.scheduler_address


def test_a_map_that_kills_workers_fails_and_those_beside_it_are_done(scheduler: str, tmp_path: Path) -> None:
    options, out = quick(small_network(tmp_path)), tmp_path / "spread"
    maps = [noise_map(tmp_path / "data" / f"{number}.ccp4", number) for number in range(6)]
    deadly, bad = noise_map(tmp_path / "data" / "deadly.ccp4"), tmp_path / "data" / "bad.mtz"
    bad.write_text("no map")
    inputs, spread = [bad, maps[0], deadly, *maps[1:]], replace(options, scheduler=scheduler)
    with succession(work, scheduler, tmp_path) as workers:
        result = run_batch(inputs, out, spread)
        assert (result.done, result.failed) == (6, 2)
        assert [worker.exitcode for worker in workers] == [-signal.SIGKILL] * 3 + [None]
    failed = journal_of(out)["deadly"].result
    assert isinstance(failed, Failed)
    assert failed.kind == "DeviceError"
    assert failed.message.startswith("3 workers in a row were killed while this map was at work")
    run_batch(maps, tmp_path / "here", options)
    for number in range(6):
        one, other = (json.loads((path / str(number) / "result.json").read_text()) for path in (tmp_path / "here", out))
        assert one.pop("timings").keys() == other.pop("timings").keys()
        assert one == other
    assert run_batch(inputs, out, spread).done == 6  # all of them before, so that no worker is needed
    assert list(out.glob(".edseg-*")) == []


def test_schedulers_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ANSWER_S", 1)
    options = quick(small_network(tmp_path))
    maps = [noise_map(tmp_path / "a.ccp4")]
    with pytest.raises(OptionError, match="nowhere"):
        run_batch(maps, tmp_path / "out", replace(options, scheduler="nowhere"))
    with pytest.raises(DeviceError, match="does not answer"):
        run_batch(maps, tmp_path / "out", replace(options, scheduler="tcp://127.0.0.1:1"))
