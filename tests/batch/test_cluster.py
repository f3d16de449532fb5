"""A batch on a real Dask scheduler and real workers on this machine, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from batches import noise_map, quick, small_network, states
from edseg_engine.batch.run import BatchProgress, run_batch
from edseg_engine.errors import DeviceError, OptionError
from places import ROOT

pytest.importorskip("distributed")
from distributed import Client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler, and its two workers."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    common = ["--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1"]

    def start(what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *common, *options]
        return subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)

    with ExitStack() as stack:
        processes = [start("scheduler", "--port", "0")]
        stack.callback(lambda: [(process.kill(), process.wait()) for process in processes])
        for _ in range(600):
            if file.exists() and file.stat().st_size:
                break
            time.sleep(0.1)
        processes += [start("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
        address = json.loads(file.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(2, timeout=120)
        yield address, processes[1:]


def test_a_killed_worker_costs_nothing_but_time(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = cluster
    options = quick(small_network(tmp_path))
    maps = [noise_map(tmp_path / "data" / f"{number}.ccp4", number, edge=24) for number in range(8)]
    bad = tmp_path / "data" / "bad.mtz"
    bad.write_text("no map")

    def kill_one(progress: BatchProgress) -> None:
        if progress.done == 2 and progress.outcome is not None:
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait()

    spread = replace(options, scheduler=address)
    result = run_batch([bad, *maps], tmp_path / "spread", spread, kill_one)
    assert (result.done, result.failed) == (8, 1)
    assert workers[0].returncode == -signal.SIGKILL
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
