"""The table's keys in the viewer: after the mouse was used there, they still arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymol.Qt import QtCore, QtGui

Qt = QtCore.Qt


class ViewerKeys(QtCore.QObject):  # type: ignore[misc]
    """Takes the keys that PyMOL's viewer gets, as long as `wanted` says so; all others are PyMOL's.

    Parameters
    ----------
    window
        PyMOL's window.
    keys
        What each key does, by its name.
    """

    def __init__(self, window: Any, keys: Mapping[str, Callable[[], Any]], wanted: Callable[[], bool]) -> None:
        super().__init__(window)
        self._keys, self._wanted = keys, wanted
        for widget in (window, window.pymolwidget):
            widget.installEventFilter(self)

    def eventFilter(self, _: Any, event: Any) -> bool:
        if event.type() != QtCore.QEvent.Type.KeyPress:
            return False
        action = self._keys.get(_name(event))
        if action is None or not self._wanted():
            return False
        action()
        return True


def _name(event: Any) -> str:
    """Return the name of a key with its modifiers; arrows count as keys of the keypad on some systems."""
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    if hasattr(QtCore, "QKeyCombination"):
        return str(QtGui.QKeySequence(QtCore.QKeyCombination(modifiers, Qt.Key(event.key()))).toString())
    return str(QtGui.QKeySequence(int(modifiers) | event.key()).toString())
