"""File names: any bytes for the system, text for people, UTF-8 for gemmi."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def shown(path: Path | str) -> str:
    r"""Return a path as text that can be printed and stored; bytes that are not UTF-8 become ``\xff``."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Give a path to the same file that is UTF-8, for as long as the context lasts."""
    if os.fsencode(path).decode("utf-8", "replace") == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edseg-") as folder:
        link = Path(folder) / f"file-{os.fsencode(path.name).decode('ascii', 'ignore')}"
        link.symlink_to(path.absolute())
        yield link
