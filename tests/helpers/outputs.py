"""Output directories of a made-up kind of result, and other processes that write them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from edseg_engine.io.output import check_output_directory, output_directory, output_file  # noqa: F401 (for the children)
from places import ROOT

#: The files of the results that these tests write.
OWN = ("result.json", "a.txt", "maps", "maps/1.ccp4", "maps/2.ccp4")


def write(place: Path, text: str = "new", overwrite: bool = False, maps: bool = True) -> None:
    with output_directory(place, OWN, last="result.json", overwrite=overwrite) as folder:
        for name in OWN[:2]:
            (folder / name).write_text(text)
        if maps:
            (folder / "maps").mkdir()
            for name in OWN[3:]:
                (folder / name).write_text(text)


def content(place: Path) -> dict[str, str]:
    return {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*") if path.is_file()}


def complete(text: str, maps: bool = True) -> dict[str, str]:
    return {name: text for name in OWN if name != "maps" and (maps or not name.startswith("maps"))}


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start another process with the functions of this module and of `edseg_engine.io.output` at hand."""
    prelude = f"import os, signal, sys, time; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
    prelude += "from outputs import *\n"
    command = [sys.executable, "-c", prelude + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
