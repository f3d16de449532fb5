"""Time the plugin: its start with PyMOL, and thousands of proposals: ``python -m tools.plugin_benchmark``."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.made_up import write_many

ROOT = Path(__file__).parents[1]

_START = """
import json, sys, time
from pymol import cmd
start, cpu = time.perf_counter(), time.process_time()
import pymol_edseg
pymol_edseg.__init_plugin__()
print("TIMES", json.dumps({"start": (time.perf_counter() - start, time.process_time() - cpu), "before": (cpu, cpu)}))
"""

_SHOW = """
import json, sys, time
from pymol import cmd
import pymol_edseg
pymol_edseg.__init_plugin__()
cmd.feedback("disable", "all", "everything")
times = {}
def timed(name, function, *arguments):
    start, cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    times[name] = time.perf_counter() - start, time.process_time() - cpu
def draw():
    cmd.rebuild()
    cmd.get_mtl_obj()
timed("load: atoms, trace, colours", lambda: cmd.edseg_load(sys.argv[-1]))
timed("its surface, computed and written", draw)
timed("first step to a residue, in focus", lambda: cmd.edseg_goto("1000"))
timed("a step to the next", cmd.edseg_next)
timed("a step along the chain", lambda: cmd.edseg_next("chain"))
timed("accept 1 in focus", cmd.edseg_accept, "1")
timed("reject 1 in focus", cmd.edseg_reject, "2")
timed("undo", cmd.edseg_undo)
timed("overview, with the surface anew", lambda: (cmd.edseg_overview(), draw()))
timed("accept 100 in the overview", cmd.edseg_accept, "101-200")
timed("label all", cmd.edseg_label, "rank1")
for number in range(20):
    cmd.pseudoatom("partial", pos=[0, 4 * number, 0], resi=str(number), chain="Z", name="CA")
timed("accept the rest, beside a partial model", lambda: cmd.edseg_accept("all", model="partial"))
timed("reject 1 of them", lambda: cmd.edseg_reject(sys.argv[-2]))
timed("accept 1 of them again", lambda: cmd.edseg_accept(sys.argv[-2], model="partial"))
timed("save session", cmd.get_session)
print("TIMES", json.dumps(times))
"""


def run_pymol(script: str, *arguments: str) -> dict[str, tuple[float, float]]:
    """Run a script in a PyMOL without window and return what it printed: seconds by the clock, and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.py"
        path.write_text(script, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDSEG_RUNS": f"{folder}/runs"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "edseg-benchmark-cache")
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed plugin is compiled once
        command = [sys.executable, "-m", "pymol", "-cq", str(path), "--", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line = next((line for line in done.stdout.splitlines() if line.startswith("TIMES ")), None)
    if line is None:
        raise RuntimeError(done.stdout + done.stderr)
    times: dict[str, tuple[float, float]] = json.loads(line.removeprefix("TIMES "))
    return times


def start_up(repeats: int = 5) -> tuple[float, float, float]:
    """Return what the plugin adds to PyMOL's start, in the median of some starts.

    Returns
    -------
    tuple
        Seconds by the clock, seconds of processor time, and these as a share of what PyMOL itself took before.
    """
    run_pymol(_START)  # compiles it
    runs = [run_pymol(_START) for _ in range(repeats)]
    clock, processor = zip(*(run["start"] for run in runs), strict=True)
    shares = [run["start"][1] / run["before"][1] for run in runs]
    return statistics.median(clock), statistics.median(processor), statistics.median(shares)


def show(folder: Path) -> dict[str, tuple[float, float]]:
    """Return the seconds of each step of showing and deciding about a result."""
    last = len(list((folder / "residues.csv").read_text(encoding="utf-8").splitlines())) - 1
    return run_pymol(_SHOW, str(last), str(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--residues", type=int, default=2000)
    n = parser.parse_args().residues
    print(f"{'seconds':<64} {'clock':>8} {'processor':>10}")
    print(f"{'start of the plugin':<64} {'{:8.3f} {:10.3f} ({:.2f} of the start of PyMOL)'.format(*start_up())}")
    with tempfile.TemporaryDirectory() as place:
        for step, seconds in show(write_many(Path(place) / "many", n)).items():
            print(f"{f'{n} proposals: {step}':<64} {'{:8.2f} {:10.2f}'.format(*seconds)}")
