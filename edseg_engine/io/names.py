"""File names: any bytes for the system, text for people."""

from __future__ import annotations

from pathlib import Path


def shown(path: Path | str) -> str:
    r"""Return a path as text that can be printed and stored; bytes that are not UTF-8 become ``\xff``."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
