"""The plugin as PyMOL's Plugin Manager gets it, its commands as PyMOL knows them, and the manifest."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edseg_engine import __version__ as engine_version
from edseg_engine.labels import LABELS, PDB_NAMES
from edseg_engine.results.files import SCHEMA
from places import ROOT
from pymol_edseg import engine, palette, proposals, register
from tools.plugin_benchmark import start_up

MANIFEST = json.loads((ROOT / "plugin_manifest.json").read_text(encoding="utf-8"))["plugin"]
NAMES = sorted(function.__name__ for function in register.COMMANDS)

#: Installs a zip with PyMOL's own installer and uses what came of it.
INSTALL = """
import json, sys
from pymol import cmd, plugins
from pymol.plugins import installation, legacysupport
zip_file, folder = sys.argv[-2:]
plugins.set_startup_path([folder], False)
# Without a window the installer's message boxes have nowhere to go.
told = []
legacysupport.tkMessageBox.showinfo = lambda title, text, parent=None: told.append(f"{title}: {text}")
before = set(sys.modules)
installation.installPluginFromFile(zip_file, parent=False, plugdir=folder)
info = plugins.plugins["pymol_edseg"]
loaded = set(sys.modules) - before
print("REPORT", json.dumps({
    "version": info.get_version(), "loaded": info.loaded, "commands": sorted(info.commands),
    "file": sys.modules["pymol_edseg"].__file__, "docstring": info.get_docstring(),
    "foreign": sorted(m for m in loaded if m.partition(".")[0] in
                      ("numpy", "torch", "gemmi", "edseg_engine", "PySide6", "PyQt5")),
    "told": told, "status": cmd.edseg_status(),
}))
"""


@pytest.fixture(scope="module")
def zip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zip")
    command = [sys.executable, "-m", "tools.plugin_zip", "--out", str(folder)]
    return Path(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip())


def test_zip_holds_the_package_alone(zip_file: Path) -> None:
    with zipfile.ZipFile(zip_file) as archive:
        inside = sorted(archive.namelist())
    assert inside == sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "pymol_edseg").rglob("*.py"))


def test_plugin_manager_installs_it(zip_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "install.py"
    script.write_text(INSTALL, encoding="utf-8")
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "EDSEG_PYTHON": str(python)}
    del environment["PYTHONPATH"]
    command = [sys.executable, "-m", "pymol", "-cqk", str(script), "--", str(zip_file), str(plugins)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("REPORT ")), None)
    assert line, done.stdout + done.stderr
    report = json.loads(line.removeprefix("REPORT "))
    assert report["told"] == ['Success: Plugin "pymol_edseg" has been installed.']
    assert report["loaded"] is True
    assert report["version"] == engine.VERSION
    assert report["file"].startswith(str(plugins))
    assert report["commands"] == NAMES
    assert report["foreign"] == []
    assert "edseg" in report["docstring"]
    assert report["status"]["engine"] == engine_version


def test_start_of_the_plugin_is_quick() -> None:
    _, _, share = start_up(3)
    assert share < 1


def test_manifest_tells_the_truth() -> None:
    assert MANIFEST["commands"] == NAMES
    package, _, function = MANIFEST["entry_point"].partition(":")
    assert (package, function) == ("pymol_edseg", "__init_plugin__")
    assert MANIFEST["menu"] == register.MENU
    assert MANIFEST["version"] == engine.VERSION
    from pymol import cmd

    least = MANIFEST["requires_pymol"].removeprefix(">=")
    assert [int(x) for x in re.findall(r"\d+", cmd.get_version()[0])[:2]] >= [int(x) for x in least.split(".")]


def test_plugin_and_engine_agree() -> None:
    assert palette.LABELS == LABELS
    assert tuple(palette.pdb_name(label) for label in LABELS) == PDB_NAMES
    assert proposals.SCHEMA == SCHEMA
    assert engine.VERSION.split(".")[:2] == engine_version.split(".")[:2]


@pytest.mark.parametrize("name", NAMES)
def test_help_of_each_command(cmd: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = cmd.keyword[name][0]
    for heading in ("DESCRIPTION", "USAGE", "EXAMPLE", "SEE ALSO"):
        assert f"\n{heading}\n" in function.__doc__, heading
    usage = function.__doc__.partition("USAGE")[2].partition("\n\n    ")[2].split()[0]
    assert usage == name
    parameters = inspect.signature(function).parameters
    arguments = function.__doc__.partition("ARGUMENTS")[2]
    for parameter in parameters.values():
        if parameter.name in ("quiet", "_self") or parameter.kind is parameter.VAR_KEYWORD:
            continue
        assert re.search(rf"^    (\w+, )?{parameter.name.rstrip('_')}\b.*=", arguments, re.MULTILINE), parameter.name
    assert "quiet" in parameters
    for other in re.findall(r"edseg_\w+", function.__doc__):
        if not re.fullmatch(r"edseg_(\d+|engine|shifted)", other):
            assert other in NAMES


def test_completion_of_names(loaded: Any) -> None:
    def completed(command: str, position: int, text: str) -> Any:
        return loaded.auto_arg[position][command][0]().interpret(text)

    assert completed("edseg_segment", 0, "dens") in ("density", ["density", "edseg_1_density"])
    assert completed("edseg_color", 1, "eds") == "edseg_1"
    assert completed("edseg_color", 0, "conf") == "confidence"
    assert completed("edseg_show", 0, "aro") == "aromatic"


def test_commands_as_typed(loaded: Any) -> None:
    loaded.do("edseg_accept 3+5-6, as=ILE")
    loaded.do("edseg_relabel 7, as=thr")
    loaded.do("edseg_show aromatic, level=2")
    names: list[str] = []
    loaded.iterate("edseg_1_model and name CA", "names.append(resn)", space={"names": names})
    assert names == ["ILE"] * 3
    assert loaded.count_atoms("edseg_1_sites and resi 7 and resn THR") == 1
    loaded.do("edseg_relabel 8, as=t")
    assert loaded.count_atoms("edseg_1_sites and resi 8 and resn THR") == 1
    assert loaded.isolevel("edseg_1_surface", query=1) == pytest.approx(2.0)


def test_colors_of_groups_stay_apart_for_the_colour_blind() -> None:
    # Machado et al. (2009), full protanopia and deuteranopia, in linear RGB.
    blindness = {
        "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    }
    for name, matrix in blindness.items():
        seen = {g: _lab(palette.rgb(c), matrix) for g, c in palette.GROUP_COLORS.items()}
        for one in seen:
            for other in seen:
                if one < other:
                    distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
                    assert distance > 9, (name, one, other, distance)


def _lab(rgb: tuple[float, ...], matrix: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb]
    seen = [min(1.0, max(0.0, sum(m * x for m, x in zip(row, linear, strict=True)))) for row in matrix]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(m * x for m, x in zip(row, seen, strict=True)) for row in to_xyz]
    white = (0.9505, 1.0, 1.089)
    f = [t ** (1 / 3) if (t := v / w) > 0.008856 else 7.787 * t + 16 / 116 for v, w in zip(xyz, white, strict=True)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])
