"""Commands in shells and scripts: standard output that is closed, full or plain ASCII, odd file names, signals."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from edseg_engine.cli import main
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import save_weights
from edseg_engine.resolution import range_by_name
from edseg_engine.results.files import RESULT_FILES
from full_disk import file_size_limit
from places import MTZ, ROOT
from signalled import signalled_at

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
EDSEG = f"{sys.executable} -m edseg_engine"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = StackNetConfig(widths=(4, 8, 8), blocks=(1, 1, 1))
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(StackNet(config).state_dict(), WeightsCard(range_by_name("high"), config), path)
    return path


@pytest.fixture
def segment(weights: Path, tmp_path: Path) -> str:
    """The command, as it is typed in a shell."""
    return f"{EDSEG} segment {MTZ} --weights {weights} --residues 95 --device cpu --orientations 1 --out {tmp_path}/out"


@pytest.fixture
def convert(tmp_path: Path) -> str:
    return f"{EDSEG} convert {MTZ} {tmp_path}/map.ccp4"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("progress", ["none", "json"])
def test_a_reader_that_goes(convert: str, tmp_path: Path, progress: str) -> None:
    run = shell(f"{convert} --progress {progress} | true")
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "map.ccp4").stat().st_size > 10**5


@pytest.mark.parametrize("progress", ["none", "json"])
def test_a_full_standard_output(convert: str, tmp_path: Path, progress: str) -> None:
    run = shell(f"{convert} --progress {progress} > /dev/full")
    assert run.returncode == 0
    assert run.stderr == (
        "edseg: The results are complete. Standard output cannot be written: No space left on device.\n"
    )
    assert (tmp_path / "map.ccp4").stat().st_size > 10**5


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_output(convert: str, tmp_path: Path, closed: str) -> None:
    run = shell(f"{convert} {closed}")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert (tmp_path / "map.ccp4").read_bytes()[208:211] == b"MAP"


def test_the_summary_of_a_run_that_nobody_reads(segment: str, tmp_path: Path) -> None:
    run = shell(f"{segment} | head -1")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("Residues")
    run = shell(f"{segment} --overwrite > /dev/full")
    assert run.returncode == 0
    assert run.stderr.startswith("edseg: The results are complete")
    assert set(os.listdir(tmp_path / "out")) >= set(RESULT_FILES)


def test_progress_that_cannot_be_written_ends_the_run(segment: str, tmp_path: Path) -> None:
    run = shell(f"{segment} --progress json > /dev/full")
    assert (run.returncode, run.stderr) == (
        8,
        "edseg: Standard output cannot be written: No space left on device.\n",
    )
    assert not (tmp_path / "out").exists()


def test_help_that_nobody_reads() -> None:
    run = shell(f"{EDSEG} segment --help | true")
    assert (run.returncode, run.stderr) == (0, "")
    run = shell(f"{EDSEG} segment --help > /dev/full")
    assert (run.returncode, run.stderr) == (8, "edseg: Standard output cannot be written: No space left on device.\n")


def test_a_table_that_cannot_be_written_is_an_error(weights: Path) -> None:
    """What `evaluate` has to say is on standard output alone."""
    command = f"{EDSEG} evaluate --map {MTZ} --model {MTZ.with_name('model.cif.gz')} --weights {weights}"
    run = shell(f"{command} --orientations 1 --device cpu > /dev/full")
    assert run.returncode == 8
    assert run.stderr.splitlines()[1:] == ["edseg: Standard output cannot be written: No space left on device."]


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_terminal_without_the_letter_of_angstrom(
    convert: str, segment: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    run = shell(convert, **environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{tmp_path}/map.ccp4: P 32 2 1, resolution 2.00 A\n"
    run = shell(segment + " --resolution 12", **environment)
    assert run.returncode == 6
    assert "12 A" in run.stderr
    assert shell(f"{EDSEG} segment --help", **environment).returncode == 0


@pytest.mark.parametrize("output", [".", "/", "''", "loop", "/dev/null", "no/map.ccp4", "-- data.mtz.gz"])
def test_outputs_that_are_no_file(tmp_path: Path, output: str) -> None:
    shutil.copy(MTZ, tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    run = shell(f"cd {tmp_path}; {EDSEG} convert data.mtz.gz {output}")
    assert run.returncode == 8
    assert run.stderr.startswith("edseg: Cannot write")
    assert run.stderr.count("\n") == 1
    assert set(os.listdir(tmp_path)) == {"data.mtz.gz", "loop"}
    assert (tmp_path / "data.mtz.gz").read_bytes() == MTZ.read_bytes()


def test_an_output_directory_on_a_loop(segment: str, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("out")
    run = shell(segment)
    assert run.returncode == 8
    assert run.stderr == (f"edseg: Cannot write the results to {tmp_path}/out: Too many levels of symbolic links.\n")


@pytest.mark.parametrize("short", [1, 100, 4000])
def test_a_full_disk_at_the_end_of_a_map(tmp_path: Path, capsys: pytest.CaptureFixture[str], short: int) -> None:
    output = tmp_path / "map.ccp4"
    assert main(["convert", str(MTZ), str(output)]) == 0
    before = output.read_bytes()
    with file_size_limit(len(before) - short):
        assert main(["convert", str(MTZ), str(output)]) == 8
    assert capsys.readouterr().err == f"edseg: Cannot write {output}: File too large.\n"
    assert output.read_bytes() == before
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("kind", ["mtz", "ccp4"])
def test_names_that_are_not_utf8(segment: str, tmp_path: Path, kind: str) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    source = folder + b"/\xe9." + kind.encode()
    if kind == "mtz":
        Path(os.fsdecode(source)).write_bytes(subprocess.check_output(["gzip", "-dc", MTZ]))
    else:
        assert main(["convert", str(MTZ), os.fsdecode(source)]) == 0
    arguments = segment.replace(str(MTZ), "MAP").replace(str(tmp_path), "OUT").split()
    names = {"MAP": source, "OUT/out": folder + b"/out"}
    command = [names.get(argument, os.fsencode(argument)) for argument in arguments]
    command += [b"--resolution", b"2", b"--progress", b"json"]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, b"")
    last = json.loads(run.stdout.splitlines()[-1])
    assert last["directory"] == f"{tmp_path}/caf\\xe9/out"
    result = json.loads(Path(os.fsdecode(folder + b"/out/result.json")).read_bytes())
    assert result["input"]["file"] == f"\\xe9.{kind}"
    shown = subprocess.run(command[:-2], env=ENVIRONMENT, capture_output=True, timeout=120)
    assert shown.returncode == 8
    assert b"caf\\xe9/out is not empty" in shown.stderr


def test_a_model_whose_name_is_not_utf8(tmp_path: Path) -> None:
    model = os.fsencode(tmp_path) + b"/\xe9.cif.gz"
    shutil.copy(MTZ.with_name("model.cif.gz"), model)
    command = [*EDSEG.split(), "simulate", model, "--resolution", "3.4", "--out", tmp_path / "maps"]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, b"")
    assert set(os.listdir(os.fsencode(tmp_path / "maps"))) == {b"\xe9.ccp4", b"\xe9-residues.csv"}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_while_the_results_are_written(segment: str, tmp_path: Path, number: int) -> None:
    # both, as batch systems do
    command = signalled_at("write", [number, signal.SIGTERM], [*segment.split()[3:], "--class-maps"])
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 130
    assert run.stderr == "edseg: Stopped; no results were written.\n"
    assert json.loads(run.stdout.splitlines()[-1])["kind"] == "Cancelled"
    assert list(tmp_path.iterdir()) == []


def test_nohup_lets_a_run_survive_its_terminal(convert: str, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from edseg_engine.cli import convert, main; run = convert.run;"
        "convert.run = lambda a: (os.kill(os.getpid(), signal.SIGHUP), run(a))[1]; sys.exit(main(sys.argv[1:]))"
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a child inherits, as under nohup
    try:
        command = [sys.executable, "-c", code, *convert.split()[3:]]
        run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "map.ccp4").exists()


def test_a_terminal_that_is_closed_leaves_nothing_behind(segment: str, tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and the run would survive
        # Many orientations, so that the run is not over before the terminal is closed.
        os.execvpe(sys.executable, [*segment.split(), "--orientations", "24"], ENVIRONMENT)
    seen = b""
    while b"Running the network" not in seen:
        seen += os.read(terminal, 65536)
    os.close(terminal)
    deadline = time.monotonic() + 60
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(ended[1]) == 130
    assert list(tmp_path.iterdir()) == []
