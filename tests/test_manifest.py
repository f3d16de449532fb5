"""``plugin_manifest.json`` says what is true of the code and the weights beside it."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from edseg_engine import __version__
from edseg_engine.cli import COMMANDS, main
from edseg_engine.networks.weights import CHECKSUMS
from edseg_engine.results.files import SCHEMA
from places import ROOT
from tools.update_manifest import checksums, weights_entries

MANIFEST = json.loads((ROOT / "plugin_manifest.json").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_names_and_versions() -> None:
    assert MANIFEST["name"] == PROJECT["name"]
    assert MANIFEST["description"] == PROJECT["description"]
    assert MANIFEST["version"] == __version__


def test_engine() -> None:
    engine = MANIFEST["engine"]
    requirement = Requirement(engine["requires"])
    assert requirement.name == PROJECT["name"]
    assert __version__ in requirement.specifier
    assert engine["requires_python"] == PROJECT["requires-python"]
    assert engine["entry_point"] == PROJECT["scripts"]["edseg"]
    assert engine["result_schema"] == SCHEMA


def test_engine_commands(capsys: pytest.CaptureFixture[str]) -> None:
    names = [command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS]
    assert MANIFEST["engine"]["commands"] == names
    for command in MANIFEST["engine"]["commands"]:
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert f"usage: edseg {command}" in capsys.readouterr().out


def test_plugin_commands() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pymol_edseg").rglob("*.py"))
    assert MANIFEST["plugin"]["commands"] == sorted(set(re.findall(r"^def (edseg_\w+)", sources, re.MULTILINE)))


def test_weights() -> None:
    assert MANIFEST["weights"] == weights_entries(), "run make manifest"
    assert (ROOT / "weights" / CHECKSUMS).read_text(encoding="utf-8") == checksums(), "run make manifest"
