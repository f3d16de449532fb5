"""What a user imports: named, typed, documented by an example that runs, and quick to import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edseg_engine
from places import ROOT

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


def test_a_users_script_is_typed_and_its_mistakes_are_found(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    (tmp_path / "mistaken.py").write_text(MISTAKES, encoding="utf-8")
    # As of an installed package, no errors inside of edseg are shown.
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--follow-imports", "silent", "."]
    environment = {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache/user")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    errors = re.findall(r"^(\w+\.py:\d+): error", done.stdout, re.MULTILINE)
    assert errors == ["mistaken.py:5", "mistaken.py:6", "mistaken.py:7"], done.stdout + done.stderr


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
