"""An engine that only pretends, for tests of what the plugin does with it."""

from __future__ import annotations

import sys
from pathlib import Path

_ENGINE = """#!{python}
import json, os, shutil, sys, time
from pathlib import Path
if "--version" in sys.argv:
    print("edseg 0.1.0")
    sys.exit()
here = Path(__file__).parent
words = sys.argv[3:]
(here / "words.json").write_text(json.dumps(words))
def tell(event, **values):
    print(json.dumps(dict(event=event, **values)), flush=True)
if words[0] == "convert":
    shutil.copyfile(here / "density.ccp4", words[2])
    print(json.dumps(dict(event="result", resolution=2.0)))
    sys.exit()
out = Path(words[words.index("--out") + 1])
exec((here / "does.py").read_text())
"""

#: Goes on until the file `go on` is beside it, then gives the results in the folder `result`.
WAITS = """
tell("progress", stage="network", fraction=0.5)
while not (here / "go on").exists():
    time.sleep(0.05)
shutil.copytree(here / "result", out)
tell("result", directory=str(out))
"""


def pretend_engine(folder: Path, does: str = "") -> Path:
    """Write an engine to a folder and return the "python" that runs it.

    Parameters
    ----------
    does
        What it does, as Python: `tell` reports, `out` is the folder for results, `here` that of the engine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python"
    python.write_text(_ENGINE.format(python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    (folder / "does.py").write_text(does, encoding="utf-8")
    return python
