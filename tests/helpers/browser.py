"""A real browser without a window, and without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

#: The first of these that is installed; None if none is.
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browse(page: Path, shown: str, folder: Path, *options: str) -> tuple[str, list[str]]:
    """Open a page at what stands after ``#`` in its address.

    Returns
    -------
    tuple
        What the page consists of once its scripts have run, and what they said on the console.
    """
    assert BROWSER is not None
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}", "--no-first-run",
        "--hide-scrollbars", "--window-size=1280,900", "--virtual-time-budget=5000", "--enable-logging=stderr",
        *options, f"{page.as_uri()}#{shown}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, re.findall(r"CONSOLE[^\n]*", done.stderr)


def content(page: Path, shown: str, folder: Path) -> tuple[str, list[str]]:
    """Return the body of a page as its scripts have made it, without them, and what they said."""
    text, said = browse(page, shown, folder, "--dump-dom")
    return re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL), said


def screenshot(page: Path, shown: str, folder: Path) -> tuple[Path, list[str]]:
    """Return a picture of a page, and what its scripts said."""
    picture = folder / "page.png"
    _, said = browse(page, shown, folder, f"--screenshot={picture}")
    return picture, said
