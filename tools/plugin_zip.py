"""Pack the PyMOL plugin into a zip that PyMOL's Plugin Manager installs: ``python -m tools.plugin_zip``."""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "pymol_edseg"


def version() -> str:
    """Return the plugin's version from its metadata."""
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r"^# Version: (\S+)$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{PACKAGE}/__init__.py has no line '# Version: ...'.")
    return found.group(1)


def write_zip(folder: Path) -> Path:
    """Write the zip to a folder and return its path; the same sources make the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{PACKAGE}-{version()}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted((ROOT / PACKAGE).rglob("*.py")):
            info = zipfile.ZipInfo(source.relative_to(ROOT).as_posix(), date_time=(2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, source.read_bytes())
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder (default: dist)")
    print(write_zip(parser.parse_args().out))
