"""A real browser without a window, and without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

#: The first of these that is installed; None if none is.
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Shown(NamedTuple):
    """A page once its scripts have run: its body without them, a picture, and what they said on the console."""

    text: str
    picture: Path
    said: list[str]


def browse(page: Path, words: str, folder: Path, *, space: bool = False) -> Shown:
    """Open a page at the words that stand after ``#`` in its address.

    Parameters
    ----------
    folder
        For the browser's files.
    space
        Whether the page draws in space, which takes the browser much longer.
    """
    assert BROWSER is not None
    picture = folder / "page.png"
    command = [
        BROWSER, "--headless=new", "--no-sandbox",
        *(("--use-angle=swiftshader", "--enable-unsafe-swiftshader") if space else ("--disable-gpu",)),
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}", "--no-first-run",
        "--hide-scrollbars", "--window-size=1280,900", "--virtual-time-budget=1000", "--enable-logging=stderr",
        "--dump-dom", f"--screenshot={picture}", f"{page.as_uri()}#{words}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    text = re.sub(r"<(script|style)\b.*?</\1>", "", done.stdout, flags=re.DOTALL)
    return Shown(text, picture, re.findall(r"CONSOLE[^\n]*", done.stderr))
