"""The wheel: everything of the checkout is inside, and works where there is no checkout."""

from __future__ import annotations

import email
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from places import ROOT

#: Runs in the folder of the unpacked wheel, with no way to find the checkout.
CHECK = """
import sys
import edseg_engine
from edseg_engine.networks.weights import load_weights, weights_folder
assert edseg_engine.__file__.startswith(sys.argv[1]), edseg_engine.__file__
assert str(weights_folder()).startswith(sys.argv[1]), weights_folder()
for path in sorted(weights_folder().glob("*.safetensors")):
    weights = load_weights(path)
    print(weights.info.name, weights.info.sha256)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def run_python(installed: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the installed wheel before everything else on its path, away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=installed.parent, env=environment, capture_output=True, text=True
    )


def test_wheel_holds_packages_and_weights_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = {
        path.relative_to(ROOT).as_posix()
        for package in ("edseg_engine", "pymol_edseg")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    weights = {f"edseg_engine/weights/{path.name}" for path in (ROOT / "weights").iterdir()}
    assert inside == packages | weights


def test_installed_wheel_finds_and_loads_its_weights(installed: Path) -> None:
    result = run_python(installed, "-c", CHECK, str(installed))
    assert result.returncode == 0, result.stderr
    expected = [
        f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted((ROOT / "weights").glob("*.safetensors"))
    ]
    assert result.stdout.splitlines() == expected


def test_installed_wheel_has_the_command(installed: Path) -> None:
    result = run_python(installed, installed / "bin" / "edseg", "--version")
    assert result.stdout == run_python(installed, "-m", "edseg_engine", "--version").stdout
    assert result.stdout.startswith("edseg "), result.stderr


def test_wheel_says_what_it_is_and_what_users_need(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Author"] == "edseg developers"
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    always = {requirement.name for requirement in needed if requirement.marker is None}
    assert always == {"gemmi", "numpy", "rich", "safetensors", "scipy", "torch"}
    train = {r.name for r in needed if r.marker is not None and r.marker.evaluate({"extra": "train"})}
    assert train == {"matplotlib", "scikit-learn"}
