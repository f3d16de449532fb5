"""The import contracts of ``pyproject.toml`` hold, and fail where one is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("edseg_engine/io/ccp4.py", "from edseg_engine.results.records import Segmentation", "way of the data"),
        ("edseg_engine/networks/weights.py", "import edseg_engine.residues.features", "way of the data"),
        ("edseg_engine/crystal/region.py", "def f():\n    from edseg_engine.io import read", "way of the data"),
        ("edseg_engine/somewhere.py", "", "way of the data"),
        ("edseg_engine/pipeline/run.py", "import pymol_edseg", "its plugin"),
        ("pymol_edseg/model.py", "import numpy", "nothing but PyMOL"),
        ("pymol_edseg/model.py", "from edseg_engine.labels import LABELS", "nothing but PyMOL"),
    ],
)
def test_a_planted_import_breaks_the_contract(module: str, line: str, contract: str, tmp_path: Path) -> None:
    for package in ("edseg_engine", "pymol_edseg"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
