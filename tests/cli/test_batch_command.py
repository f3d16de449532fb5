"""``edseg batch`` as a command: what it prints, its exit codes, and Ctrl-C."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from batches import noise_map, small_network, states
from edseg_engine.cli import main
from edseg_engine.errors import MapFormatError
from forked import FORKS, running


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_network(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def arguments(weights: Path, tmp_path: Path) -> list[str]:
    common = ["--weights", str(weights), "--device", "cpu", "--orientations", "1", "--resolution", "2"]
    return ["batch", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *common]


def test_exit_codes_and_lines(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "data" / "bad.mtz"
    bad.parent.mkdir()
    bad.write_text("no map")
    assert main(arguments) == 16
    assert "bad: failed. bad.mtz is no density map" in capsys.readouterr().err
    noise_map(tmp_path / "data" / "good.ccp4")
    assert main([*arguments, "--progress", "json"]) == 15
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert {line["event"] for line in lines[:-1]} == {"progress", "map"}
    assert lines[-1] == {
        "event": "result", "directory": str(tmp_path / "out"), "done": 1, "failed": 1, "left": 0,
    }  # fmt: skip
    assert printed.err == (
        f"edseg: 1 of 2 maps failed; edseg report {tmp_path / 'out'} shows why, and --retry-failed tries them again.\n"
    )
    bad.unlink()
    assert main(arguments) == 0
    summary = {line[:17].strip(): line[17:] for line in capsys.readouterr().out.splitlines()}
    assert summary == {"Maps": "1", "Done": "1", "Failed": "0", "Results": str(tmp_path / "out")}


def test_a_dry_run(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise_map(tmp_path / "data" / "good.ccp4")
    assert main([*arguments, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "1.2 GB" in printed
    assert "Maps to do       1\n" in printed
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--dry-run", "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:-1] == [{"event": "progress", "stage": "read", "fraction": 1.0, "message": ""}]
    assert [each["name"] for each in lines[-1]["maps"]] == ["good"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--dry-run"]) == 0
    assert capsys.readouterr().out == "Maps to do       0\nFinished before  1 done, 0 failed\n"


def test_errors_of_the_batch_itself(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"edseg: {tmp_path / 'data'} does not exist")
    assert main([*arguments, "--progress", "json"]) == 2
    assert json.loads(capsys.readouterr().out).items() >= {"event": "error", "kind": "OptionError"}.items()
    (tmp_path / "data").mkdir()
    assert main([*arguments, "--task", "build", "--voxels"]) == 2
    assert "voxels" in capsys.readouterr().err
    assert MapFormatError.exit_code not in (15, 16)


def command(arguments: list[str], out: Connection, errors: Connection) -> None:
    """Run ``edseg`` with pipes for its output."""
    sys.stdout, sys.stderr = (open(os.dup(pipe.fileno()), "w") for pipe in (out, errors))  # noqa: SIM115 (until it ends)
    sys.exit(main(arguments))


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c(arguments: list[str], tmp_path: Path, presses: int) -> None:
    for number in range(20):
        noise_map(tmp_path / "data" / f"{number}.ccp4", number)
    (out, out_end), (errors, errors_end) = FORKS.Pipe(duplex=False), FORKS.Pipe(duplex=False)
    fcntl.fcntl(out_end.fileno(), fcntl.F_SETPIPE_SZ, 4096)  # a few maps fill it, so that the command waits for us
    with running(command, [*arguments, "--progress", "json"], out_end, errors_end) as process:
        out_end.close()
        errors_end.close()
        with open(os.dup(out.fileno())) as printed, open(os.dup(errors.fileno())) as complained:
            for line in printed:
                if json.loads(line)["event"] == "map":
                    break
            os.kill(process.pid, signal.SIGINT)
            assert complained.readline() == "edseg: Finishing the maps at work; press Ctrl-C again to stop at once.\n"
            if presses == 2:
                os.kill(process.pid, signal.SIGINT)
            rest, said = printed.read(), complained.read()
        process.join(120)
        assert process.exitcode == 130
    assert said.startswith("edseg: Stopped")
    assert said.endswith("Start the same command again to go on.\n")
    found = list(states(tmp_path / "out").values())
    assert set(found) == {"done", "waiting"}
    complete = len(list((tmp_path / "out").glob("*/result.json")))
    assert complete >= found.count("done")
    last = json.loads(rest.splitlines()[-1])
    if presses == 1:
        assert complete == found.count("done")
        assert last["event"] == "result"
        assert last["left"] == found.count("waiting")
    else:
        assert (last["event"], last["kind"]) == ("error", "Cancelled")
