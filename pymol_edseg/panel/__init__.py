"""The panel of the Plugin menu. Qt is imported when it is opened, not before."""

from __future__ import annotations

from typing import Any


def open_panel(cmd: Any) -> Any:
    """Open the panel, or bring it to the front, and return it."""
    from pymol_edseg.panel.window import show_panel

    return show_panel(cmd)
