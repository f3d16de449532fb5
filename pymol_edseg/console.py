"""PyMOL's log and window, as far as the plugin needs them."""

from __future__ import annotations

import sys
from typing import Any


def application() -> Any:
    """Return the running QApplication if PyMOL's window is open, else None. Never imports Qt itself."""
    if "pmg_qt.pymol_qt_gui" not in sys.modules:
        return None
    return sys.modules["pymol.Qt"].QtWidgets.QApplication.instance()


def say(text: str, quiet: int | bool = False) -> None:
    """Write a line to PyMOL's log."""
    if not quiet:
        print(f" edseg: {text}")


def complain(text: str) -> None:
    """Write an error to PyMOL's log, as PyMOL does for commands, without ending anything."""
    from pymol import colorprinting

    colorprinting.error(f" edseg: {text}")
