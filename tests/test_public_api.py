"""What a user imports: named, typed, documented by an example that runs, and quick to import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edseg_engine

ROOT = Path(__file__).parents[1]
USER = """
from pathlib import Path

import numpy as np

import edseg_engine
from edseg_engine import (
    Cancelled, DensityMap, EdsegError, Progress, Segmentation, SegmentOptions, read_map, read_results, segment,
    write_results,
)


def show(progress: Progress) -> None:
    if progress.fraction > 1:
        raise Cancelled("enough")


def main(path: Path) -> list[tuple[float, float, float]]:
    density: DensityMap = read_map(path, resolution=2.0)
    spacing: float = density.cell.a / density.grid.sampling[0]
    try:
        found: Segmentation = segment(density, SegmentOptions(n_residues=95), show)
    except EdsegError as error:
        print(error, error.exit_code, spacing)
        return []
    write_results(found, "out")
    label, probability = read_results(Path("out")).residues[0].ranks[0]
    print(label.lower(), probability + 1, edseg_engine.__version__)
    if found.class_maps is not None:
        print(np.mean(found.class_maps.of_label(0)))
    return [residue.position for residue in found.residues]
"""
MISTAKES = """
from edseg_engine import SegmentOptions, segment
import edseg_engine

SegmentOptions(residues=95)
segment(7)
edseg_engine.nothing
"""


def mypy(code: str, folder: Path) -> str:
    (folder / "user.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(folder), "user.py"]
    done = subprocess.run(
        command, cwd=folder, env={"MYPYPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_users_script_is_typed(tmp_path: Path) -> None:
    assert "Success" in mypy(USER, tmp_path)


def test_a_users_mistakes_are_found(tmp_path: Path) -> None:
    found = mypy(MISTAKES, tmp_path)
    assert sorted(map(int, re.findall(r"user\.py:(\d+): error", found))) == [5, 6, 7], found


def test_the_public_names_are_there() -> None:
    assert sorted(edseg_engine.__all__) == sorted({*edseg_engine._EXPORTS, "__version__"})
    assert set(edseg_engine.__all__) <= set(dir(edseg_engine))
    for name in edseg_engine.__all__:
        assert inspect.getdoc(getattr(edseg_engine, name))
    with pytest.raises(AttributeError):
        _ = edseg_engine.nothing
    assert (ROOT / "edseg_engine/py.typed").exists()


def test_importing_and_asking_loads_no_torch() -> None:
    code = "import sys, edseg_engine as e; dir(e); e.SegmentOptions(views=2); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(edseg_engine) or "", re.DOTALL)
    assert example in (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    exec(compile(example, "example", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) > 85
