"""The command line on the real data in tests/data, with a small untrained network: output, files and exit codes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch

from edseg_engine import errors
from edseg_engine.cli import main
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import save_weights
from edseg_engine.progress import STAGES
from edseg_engine.resolution import range_by_name
from edseg_engine.results.files import BACKBONE_FILES, RESULT_FILES
from places import MTZ, ROOT
from signalled import signalled_at

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = StackNetConfig(widths=(4, 8, 8), blocks=(1, 1, 1))
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(StackNet(config).state_dict(), WeightsCard(range_by_name("high"), config), path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "out"


@pytest.fixture
def arguments(weights: Path, out: Path) -> list[str]:
    command = ["segment", str(MTZ), "--weights", str(weights), "--residues", "95", "--out", str(out), "--device", "cpu"]
    return [*command, "--orientations", "1"]


def heed_interrupts() -> None:
    """Heed SIGINT, which a shell's background job ignores, and its children with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(arguments: list[str], **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edseg_engine", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True, **options)  # type: ignore[call-overload]


def lines_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_writes_its_files_and_prints_a_summary(
    arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr()
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert {path.name for path in out.iterdir()} == {*RESULT_FILES, *BACKBONE_FILES}
    assert result["options"]["n_residues"] == 95
    assert result["spacegroup"] == "P 32 2 1"
    summary = {line[:17].strip(): line[17:] for line in printed.out.splitlines()}
    assert summary["Residues"] == str(len(result["residues"]))
    assert summary["Resolution"] == f"{result['resolution']:.2f} Å"
    assert summary["Region"] == "asu"
    assert summary["Weights"].startswith("small.safetensors")
    assert summary["Results"] == str(out)
    assert printed.err == ""


def test_json_lines(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--progress", "json", "--class-maps"]) == 0
    *progress, result = lines_of(capsys.readouterr().out)
    assert {line["event"] for line in progress} == {"progress"}
    assert list(dict.fromkeys(line["stage"] for line in progress)) == list(STAGES)
    for stage in STAGES:
        fractions = [line["fraction"] for line in progress if line["stage"] == stage]
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] <= fractions[-1] == 1
    written = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result == {
        "event": "result",
        "directory": str(out),
        "residues": len(written["residues"]),
        "resolution": written["resolution"],
        "region": "asu",
        "warnings": written["warnings"],
    }
    assert len(list((out / "class_maps").iterdir())) == 17


def test_columns_can_be_named_and_residues_counted_and_results_replaced(
    arguments: list[str], out: Path, tmp_path: Path
) -> None:
    (tmp_path / "protein.fasta").write_text(">A\nPQFSLWRRPV\n>B\nVTAHIEGQ*\n")
    arguments = [argument for argument in arguments if argument not in ("--residues", "95")]
    arguments += ["--sequence", str(tmp_path / "protein.fasta"), "--f", "FWT", "--phi", "PHWT", "--progress", "none"]
    assert main(arguments) == 0
    first = (out / "result.json").read_bytes()
    assert json.loads(first)["options"]["n_residues"] == 18
    assert main(arguments) == errors.OutputError.exit_code
    assert (out / "result.json").read_bytes() == first
    assert main([*arguments, "--overwrite", "--resolution", "2.2"]) == 0
    assert json.loads((out / "result.json").read_bytes())["resolution"] == 2.2
    assert list(out.parent.iterdir()) == [out]


def test_several_cycles_say_which_map_was_read_best(
    arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--cycles", "2"]) == 0
    said = capsys.readouterr().out
    result = json.loads((out / "result.json").read_bytes())
    assert result["options"]["cycles"] == 2
    assert "at most 2; the map that is read most surely is that of" in said
    assert ("improved.mtz" in said) == (out / "improved.mtz").exists() == ("cycle" in result["input"])


def write_map(path: Path, values: np.ndarray) -> Path:
    ccp4 = gemmi.Ccp4Map()
    ccp4.grid = gemmi.FloatGrid(values.astype(np.float32))
    ccp4.grid.set_unit_cell(gemmi.UnitCell(20, 20, 20, 90, 90, 90))
    ccp4.grid.spacegroup = gemmi.SpaceGroup("P 1")
    ccp4.update_ccp4_header(2)
    ccp4.write_ccp4_map(str(path))
    return path


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.ccp4").write_text("This is no map.\n" * 200)
    write_map(folder / "constant.ccp4", np.ones((20, 20, 20)))
    write_map(folder / "good.ccp4", np.random.default_rng(0).normal(size=(20, 20, 20)))
    mtz = gemmi.read_mtz_file(str(MTZ))
    for label in ("FWT", "PHWT"):
        mtz.remove_column(mtz.column_with_label(label).idx)
    mtz.write_to_file(str(folder / "amplitudes.mtz"))
    (folder / "weights.safetensors").write_text("These are no weights.")
    (folder / "rna.fasta").write_text(">rna\nACGUACGU\n")
    return folder


@pytest.mark.parametrize("progress", ["none", "json"])
@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"map": "missing.mtz"}, "MapFormatError", "missing.mtz"),
        ({"map": "text.ccp4"}, "MapFormatError", "text.ccp4"),
        ({"map": "constant.ccp4", "--resolution": "2"}, "MapContentError", "constant.ccp4"),
        ({"map": "amplitudes.mtz"}, "PhaseError", "SIGF"),
        ({"map": "good.ccp4"}, "ResolutionError", "--resolution"),
        ({"--resolution": "12"}, "ResolutionError", "12"),
        ({"--resolution": "nan"}, "ResolutionError", "nan"),
        ({"--weights": "weights.safetensors"}, "WeightsError", "weights.safetensors"),
        ({"--weights": "missing.safetensors"}, "WeightsError", "missing.safetensors"),
        ({"--residues": "0"}, "OptionError", "0"),
        ({"--residues": "-5"}, "OptionError", "-5"),
        ({"--residues": None, "--sequence": "rna.fasta"}, "ModelFormatError", "rna.fasta"),
        ({"map": "good.ccp4", "--resolution": "2", "--f": "FWT", "--phi": "PHWT"}, "OptionError", "good.ccp4"),
        ({"--f": "NOSUCH", "--phi": "PHWT"}, "PhaseError", "NOSUCH"),
        ({"--out": "text.ccp4/out"}, "OutputError", "text.ccp4"),
        ({"--out": ".", "map": "missing.mtz"}, "OutputError", "not empty"),
    ],
)
def test_errors(
    bad: Path,
    weights: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    kind: str,
    message: str,
    progress: str,
) -> None:
    options: dict[str, str | None] = {"map": str(MTZ), "--weights": str(weights), "--residues": "95", "--out": str(out)}
    files = ("map", "--weights", "--sequence", "--out")
    options |= {key: str(bad / value) if value and key in files else value for key, value in changes.items()}
    before = sorted(bad.iterdir())
    path = options.pop("map")
    arguments = [text for option, value in options.items() if value is not None for text in (option, value)]
    exit_code = main(["segment", str(path), "--progress", progress, *arguments])
    printed = capsys.readouterr()
    assert exit_code == getattr(errors, kind).exit_code
    assert printed.err.startswith("edseg: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert list(out.parent.iterdir()) == []
    assert sorted(bad.iterdir()) == before
    if progress == "json":
        assert lines_of(printed.out)[-1] == {
            "event": "error", "kind": kind, "message": printed.err[7:-1], "exit_code": exit_code,
        }  # fmt: skip
    else:
        assert printed.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device exists here")
def test_a_device_that_is_not_there(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--device", "cuda"]) == errors.DeviceError.exit_code
    assert "cuda" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["segment"],
        ["segment", "a.mtz", "--device", "abacus"],
        ["segment", "a.mtz", "--residues", "3", "--sequence", "s"],
    ],
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: edseg" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing_behind(arguments: list[str], out: Path, number: int) -> None:
    run = subprocess.run(
        signalled_at("network", [number], arguments),
        env=ENVIRONMENT,
        preexec_fn=heed_interrupts,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 130
    assert run.stderr == "edseg: Stopped; no results were written.\n"
    assert lines_of(run.stdout)[-1]["kind"] == "Cancelled"
    assert list(out.parent.iterdir()) == []


def test_a_run_ends_when_nobody_reads_its_progress(arguments: list[str], out: Path) -> None:
    # in 24 orientations there is more progress to come
    with start([*arguments[:-1], "24", "--progress", "json"], stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert stderr == "edseg: Stopped, because the program that read the output has exited.\n"
    assert list(out.parent.iterdir()) == []


def test_bars_on_a_terminal_name_the_stages(arguments: list[str]) -> None:
    ours, theirs = pty.openpty()
    with start(arguments, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # the other side of the terminal is closed
            pass
        os.close(ours)
        assert process.wait(timeout=60) == 0
    for title in ("Reading the map", "Running the network", "Writing results"):
        assert title in shown.decode()


def test_help_does_not_wait_for_the_engine() -> None:
    code = (
        "import sys\nfrom edseg_engine.cli import main\n"
        "try:\n    main(['segment', '--help'])\nfinally:\n    print({'torch', 'scipy', 'sklearn'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "usage: edseg segment" in result.stdout
    assert result.stdout.splitlines()[-1] == "set()"
