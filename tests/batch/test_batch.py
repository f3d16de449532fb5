"""Batches on this machine: all maps are worked on, a bad one stops no other, and nothing is done twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from batches import journal_of, let_kill, noise_map, quick, small_network, states
from edseg_engine.batch.estimate import estimate_batch
from edseg_engine.batch.inputs import find_maps
from edseg_engine.batch.journal import Journal
from edseg_engine.batch.journal_file import open_journal
from edseg_engine.batch.local import MemoryBudget
from edseg_engine.batch.plan import make_plan
from edseg_engine.batch.records import Done, Failed, Outcome
from edseg_engine.batch.run import BatchOptions, BatchProgress, run_batch
from edseg_engine.batch.tasks import failure_of
from edseg_engine.errors import Cancelled, DeviceError, OptionError, OutputError, ResultFormatError
from edseg_engine.pipeline.sizes import BYTES_FIXED
from edseg_engine.results.files import IMPROVED_FILE
from edseg_engine.results.reading import read_results
from forked import running
from full_disk import own_disk
from places import MTZ


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> BatchOptions:
    return quick(small_network(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def maps(tmp_path: Path) -> list[Path]:
    return [noise_map(tmp_path / "data" / f"{name}.ccp4", seed) for seed, name in enumerate("abc")]


def dates(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/result.json")}


def test_a_bad_map_stops_no_other(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    (tmp_path / "data" / "bad.mtz").write_text("no map")
    seen: list[BatchProgress] = []
    result = run_batch([tmp_path / "data"], tmp_path / "out", options, seen.append)
    assert (result.done, result.failed, result.left) == (3, 1, 0)
    journal = journal_of(tmp_path / "out")
    assert {name: entry.state for name, entry in journal.items()} == dict.fromkeys("abc", "done") | {"bad": "failed"}
    failed, done = journal["bad"].result, journal["b"].result
    assert isinstance(failed, Failed)
    assert failed.kind == "MapFormatError"
    assert "bad.mtz" in failed.message
    assert isinstance(done, Done)
    found = read_results(tmp_path / "out" / "b")
    assert done.summary["residues"] == len(found.residues) > 0
    assert {line.name for line in seen if line.outcome} == {"a", "b", "c", "bad"}
    assert {line.stage.stage for line in seen if line.stage and line.name == "c"} >= {"read", "network", "write"}
    assert (seen[-1].done, seen[-1].failed, seen[-1].seconds_left) == (3, 1, 0)


def test_no_room_for_temporary_files_ends_a_batch(
    tmp_path: Path, options: BatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "small"))
    with own_disk(tmp_path / "small", 1 << 16), pytest.raises(OutputError, match="start the batch again"):
        run_batch([MTZ], tmp_path / "out", options)
    assert run_batch([MTZ], tmp_path / "out", options).done == 1


def test_what_is_finished_is_not_repeated_and_what_changed_is(
    maps: list[Path], tmp_path: Path, options: BatchOptions
) -> None:
    out = tmp_path / "out"
    run_batch(maps, out, options)
    first = dates(out)
    os.utime(maps[0], (1, 1))  # a new date, the same content
    noise_map(maps[1], seed=9)
    (out / "c" / "residues.csv").unlink()
    assert run_batch(maps, out, options).done == 3
    second = dates(out)
    assert second["a"] == first["a"]
    assert second["b"] > first["b"]
    assert second["c"] > first["c"]
    assert (out / "c" / "residues.csv").exists()
    assert {name: entry.attempts for name, entry in journal_of(out).items()} == {"a": 1, "b": 2, "c": 2}
    finer = replace(options, settings=replace(options.settings, residues=2))
    run_batch(maps[:1], out, finer)
    assert read_results(out / "a").options.n_residues == 2
    assert dates(out)["b"] == second["b"]


def test_a_map_that_changes_while_it_is_at_work_is_done_again(
    maps: list[Path], tmp_path: Path, options: BatchOptions
) -> None:
    def replace_map(progress: BatchProgress) -> None:
        if progress.stage and progress.stage.stage == "network":
            noise_map(maps[0], seed=9)

    out = tmp_path / "out"
    run_batch(maps[:1], out, options, replace_map)
    first = dates(out)
    run_batch(maps[:1], out, options)
    assert dates(out)["a"] > first["a"]


def test_failed_maps_are_tried_again_only_if_asked(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    out, weights = tmp_path / "out", options.settings.weights
    assert weights is not None
    broken = replace(options, settings=replace(options.settings, weights=tmp_path / "w.safetensors"))
    assert run_batch(maps[:1], out, broken).failed == 1
    shutil.copy(weights, tmp_path / "w.safetensors")
    assert run_batch(maps[:1], out, broken).done == 1  # another file of weights: another question
    bad = tmp_path / "bad.mtz"
    bad.write_text("no map")
    for expected, retry in ((1, False), (1, False), (2, True)):
        assert run_batch([bad], out, replace(options, retry_failed=retry)).failed == 1
        assert journal_of(out)["bad"].attempts == expected


def run_killed_between_result_and_journal(folder: Path, out: Path, options: BatchOptions) -> None:
    finish, finished = Journal.finish, []

    def killed(journal: Journal, name: str, outcome: Outcome) -> None:
        if finished:
            os.kill(os.getpid(), signal.SIGKILL)
        finished.append(name)
        finish(journal, name, outcome)

    Journal.finish = killed  # type: ignore[method-assign]
    run_batch([folder], out, options)


def test_a_run_killed_between_result_and_journal_is_repaired(
    maps: list[Path], tmp_path: Path, options: BatchOptions
) -> None:
    out = tmp_path / "out"
    with running(run_killed_between_result_and_journal, maps[0].parent, out, options) as process:
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    assert states(out)["a"] == "done"
    assert states(out)["b"] == "running"  # and its result is there
    assert (out / "b" / "result.json").exists()
    left = dates(out)
    (out / "b" / ".edseg-left").mkdir()
    (out / "b" / ".edseg-left" / "result.json").write_text("an older one")
    assert run_batch(maps, out, options).done == 3
    assert {name: entry.attempts for name, entry in journal_of(out).items() if name in "ab"} == {"a": 1, "b": 1}
    assert dates(out).items() >= {name: left[name] for name in "ab"}.items()
    assert journal_of(out)["b"].result.files.keys() == journal_of(out)["a"].result.files.keys()  # type: ignore[union-attr]
    assert list(out.glob(".edseg-*")) == []


def run_killed_by_a_map(name: str, folder: Path, out: Path, options: BatchOptions) -> None:
    let_kill(name)
    run_batch([folder], out, options)


def test_a_map_that_kills_runs_fails_and_those_beside_it_are_done(
    maps: list[Path], tmp_path: Path, options: BatchOptions
) -> None:
    out, together = tmp_path / "out", replace(options, memory=1e12)
    run_batch(maps[:2], out, options)
    finer = replace(together, settings=replace(options.settings, residues=2))  # all are to be done again
    for _ in range(3):
        with running(run_killed_by_a_map, "b", maps[0].parent, out, finer) as process:
            process.join(120)
            assert process.exitcode == -signal.SIGKILL
    assert states(out)["b"] == "running"
    result = run_batch(maps, out, finer)
    assert (result.done, result.failed) == (2, 1)
    failed = journal_of(out)["b"].result
    assert isinstance(failed, Failed)
    assert failed.kind == "DeviceError"
    assert failed.message.startswith("3 runs in a row were killed while this map was at work")
    assert run_batch(maps, out, replace(finer, retry_failed=True)).done == 3


def test_a_run_whose_workers_are_elsewhere_dies_of_no_map(
    maps: list[Path], tmp_path: Path, options: BatchOptions
) -> None:
    with open_journal(tmp_path / "out", "segment") as journal:
        make_plan(find_maps(maps, options.settings, tmp_path / "out"), journal, tmp_path / "out")
        for _ in range(4):
            journal.begin("a", "", elsewhere=True)
    assert run_batch(maps, tmp_path / "out", options).done == 3


def test_stopping_finishes_what_is_at_work(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    begun: list[str] = []

    def stop() -> bool:
        begun.append("asked")
        return len(begun) > 2

    one = replace(options, overlap=False)
    result = run_batch(maps, tmp_path / "out", one, stop=stop)
    assert (result.done, result.left) == (2, 1)
    assert states(tmp_path / "out") == {"a": "done", "b": "done", "c": "waiting"}

    def enough(progress: BatchProgress) -> None:
        if progress.stage and progress.stage.stage == "network":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run_batch(maps, tmp_path / "out", options, enough)
    assert states(tmp_path / "out")["c"] == "waiting"
    assert not (tmp_path / "out" / "c").exists()
    assert run_batch(maps, tmp_path / "out", options).done == 3


def test_overlapping_maps_give_the_same_results(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    run_batch(maps, tmp_path / "one", replace(options, overlap=False))
    inside, together = threading.Lock(), []

    def alone(progress: BatchProgress) -> None:
        if not inside.acquire(blocking=False):
            together.append(progress)
            return
        time.sleep(0.002)  # time for another thread to come
        inside.release()

    run_batch(maps, tmp_path / "many", replace(options, memory=1e12), alone)
    assert together == []
    for name in "abc":
        one, many = (json.loads((tmp_path / out / name / "result.json").read_text()) for out in ("one", "many"))
        assert one.pop("timings").keys() == many.pop("timings").keys()
        assert one == many


def test_a_map_that_needs_too_much_memory_fails_alone(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    large = noise_map(tmp_path / "data" / "large.ccp4", edge=96)
    settings = replace(options.settings, region="box")
    limited = replace(options, settings=settings, memory=1.25e9)
    result = run_batch([*maps, large], tmp_path / "out", limited)
    assert (result.done, result.failed) == (3, 1)
    assert states(tmp_path / "out")["large"] == "failed"


def test_a_map_waits_for_memory_that_others_have() -> None:
    budget, order = MemoryBudget(BYTES_FIXED + 3e9), []

    def second() -> None:
        budget.take("second", BYTES_FIXED + 2e9)
        order.append("taken")

    budget.take("first", BYTES_FIXED + 2e9)
    budget.take("beside", BYTES_FIXED + 1e9)
    thread = threading.Thread(target=second)
    thread.start()
    for name in ("beside", "first"):
        thread.join(0.05)
        order.append(f"{name} gives back")
        budget.give_back(name)
    thread.join(10)
    assert order == ["beside gives back", "first gives back", "taken"]
    with pytest.raises(DeviceError, match="--memory"):
        budget.take("too large", BYTES_FIXED + 4e9)


def test_a_dry_run_writes_nothing_and_names_what_will_fail(
    maps: list[Path], tmp_path: Path, options: BatchOptions
) -> None:
    (tmp_path / "data" / "bad.mtz").write_text("no map")
    estimate = estimate_batch([tmp_path / "data"], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
    assert {each.name: bool(each.problem) for each in estimate.maps} == {
        "a": False,
        "b": False,
        "bad": True,
        "c": False,
    }
    good = [each for each in estimate.maps if not each.problem]
    assert all(each.seconds is not None and each.seconds > 0 and each.memory > 1e9 for each in good)
    run_batch(maps[:2], tmp_path / "out", options)
    after = estimate_batch([tmp_path / "data"], tmp_path / "out", options)
    assert (after.done, [each.name for each in after.maps]) == (2, ["bad", "c"])


def test_what_lies_in_the_output_is_never_overwritten(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "result.json").write_text("mine")
    for retry in (False, True):
        assert run_batch(maps, out, replace(options, retry_failed=retry)).failed == 1
        assert (out / "a" / "result.json").read_text() == "mine"
    shutil.rmtree(out / "a")
    assert run_batch(maps, out, replace(options, retry_failed=True)).done == 3


def test_one_batch_at_a_time_and_no_other_task(maps: list[Path], tmp_path: Path, options: BatchOptions) -> None:
    with open_journal(tmp_path / "out", "segment"), pytest.raises(OutputError, match="Another batch"):
        run_batch(maps, tmp_path / "out", options)
    with pytest.raises(OutputError, match="task segment"), open_journal(tmp_path / "out", "build"):
        pass
    (tmp_path / "out" / "batch.sqlite").write_bytes(b"no journal" * 100)
    with pytest.raises(ResultFormatError, match=r"batch\.sqlite"):
        run_batch(maps, tmp_path / "out", options)


def test_an_error_of_edseg_itself_is_that_of_its_map_and_says_where() -> None:
    try:
        _ = {}["nothing"]
    except KeyError as error:
        failed = failure_of(error)
    assert failed.kind == "KeyError"
    assert re.search(r"edseg itself.*KeyError in test_batch\.py, line \d+: 'nothing'", failed.message)
    with pytest.raises(Cancelled):
        failure_of(Cancelled("enough"))


def test_options_of_the_other_task_are_refused(options: BatchOptions) -> None:
    with pytest.raises(OptionError, match="refine"):
        replace(options, settings=replace(options.settings, refine=False))
    with pytest.raises(OptionError, match="orientations"):
        replace(options, settings=replace(options.settings, orientations=0))
    with pytest.raises(OptionError, match="cycles must be"):
        replace(options, settings=replace(options.settings, cycles=13))
    with pytest.raises(OptionError, match="region asu"):
        replace(options, settings=replace(options.settings, cycles=2, region="cell"))
    replace(options, task="build", settings=replace(options.settings, cycles=13))
    with pytest.raises(OptionError, match="--scheduler local"):
        replace(options, workers=2)
    with pytest.raises(OptionError, match="build has no limit"):
        replace(options, task="build", memory=1e9)
    with pytest.raises(OptionError, match="scheduler"):
        replace(options, scheduler="local", memory=1e9)
    with pytest.raises(OptionError, match="voxels"):
        replace(options, task="build", settings=replace(options.settings, voxels=True))


def test_maps_are_read_in_several_cycles_where_their_files_hold_amplitudes(
    tmp_path: Path, options: BatchOptions
) -> None:
    maps = [MTZ, noise_map(tmp_path / "map.ccp4")]
    settings = replace(options.settings, cycles=2, resolution=2.5)
    options = replace(options, settings=settings)
    estimate = estimate_batch(maps, tmp_path / "out", options)
    assert {each.name: bool(each.problem) for each in estimate.maps} == {"data": False, "map": True}
    result = run_batch(maps, tmp_path / "out", options)
    assert (result.done, result.failed) == (1, 1)
    outcomes = {name: entry.result for name, entry in journal_of(tmp_path / "out").items()}
    done, failed = outcomes["data"], outcomes["map"]
    assert isinstance(done, Done)
    found = read_results(tmp_path / "out" / "data")
    assert found.options.cycles == 2
    assert (IMPROVED_FILE in done.files) == ("cycle" in found.input)
    assert isinstance(failed, Failed)
    assert "measured amplitudes" in failed.message
