"""PyMOL's real window on a screen of its own (Xvfb)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from places import ROOT
from pymol_edseg import storage

DRIVER = Path(__file__).with_name("gui_driver.py")


@contextmanager
def screen() -> Iterator[str]:
    """Yield the name of a screen of 1400 x 900 that is not shown."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    try:
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def drive(display: str, folder: Path, seconds: int, **parameters: str) -> dict[str, Any]:
    """Run the driver in PyMOL's window and return its report."""
    folder.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{DRIVER.parent}",
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        storage.RUNS_VARIABLE: str(folder / "runs"),
        "EDSEG_GUI": json.dumps({"folder": str(folder), **parameters}),
    }
    command = [sys.executable, "-m", "pymol", "-q", str(DRIVER)]
    done = subprocess.run(command, env=environment, timeout=seconds, capture_output=True, text=True, check=False)
    assert (folder / "report.json").exists(), done.stdout + done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert "traceback" not in report, report["traceback"]
    return report
