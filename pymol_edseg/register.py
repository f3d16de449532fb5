"""Making the commands known to PyMOL: names, tab completion, session tasks, and the entry in the Plugin menu."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from pymol import CmdException, cmd
from pymol.shortcut import Shortcut

from pymol_edseg import session
from pymol_edseg.commands import build, check, decide, files, history, segment, view, walk
from pymol_edseg.commands.common import result_names
from pymol_edseg.label_format import LABEL_FORMATS
from pymol_edseg.map_export import map_names
from pymol_edseg.ordering import ORDERS
from pymol_edseg.palette import GROUPS, LABELS
from pymol_edseg.records import COLOR_MODES

MENU = "edseg"


def _words(*words: str) -> Callable[[], Any]:
    return lambda: Shortcut(list(words))


_MAP = [lambda: Shortcut(map_names(cmd)), "map object", ", "]
_RESULT = [lambda: Shortcut(result_names(cmd)), "result", ""]
_CLASSES = [_words(*LABELS, *GROUPS, "all", "none"), "class", ""]
_ATOMS = [cmd.selection_sc, "selection", ", "]

#: Each command with the completions of its arguments, by position.
COMMANDS: dict[Callable[..., Any], tuple[list[Any] | None, ...]] = {
    segment.edseg_segment: (_MAP,),
    build.edseg_build: (_MAP, None, None, None, None, None, [_words(*build.COLORS), "color", ""]),
    check.edseg_check: ([cmd.object_sc, "object", ", "], _MAP),
    check.edseg_doubts: ([cmd.object_sc, "object", ""], _RESULT),
    check.edseg_next_doubt: (None, [cmd.object_sc, "object", ""]),
    segment.edseg_cancel: (),
    segment.edseg_status: (),
    view.edseg_color: ([_words(*COLOR_MODES), "mode", ""], _RESULT),
    view.edseg_show: (_CLASSES, None, _RESULT),
    view.edseg_label: ([_words(*LABEL_FORMATS), "format", ""], None, _RESULT),
    walk.edseg_goto: (_ATOMS, _RESULT),
    walk.edseg_overview: (_RESULT,),
    walk.edseg_complete: ([cmd.object_sc, "object", ""], _RESULT),
    walk.edseg_next: ([_words(*ORDERS), "order", ""], None, None, _RESULT),
    decide.edseg_accept: (_ATOMS, None, [cmd.object_sc, "object", ""], _RESULT),
    decide.edseg_reject: (_ATOMS, _RESULT),
    decide.edseg_relabel: (_ATOMS, None, _RESULT),
    decide.edseg_comment: (_ATOMS, None, _RESULT),
    history.edseg_undo: (_RESULT,),
    history.edseg_redo: (_RESULT,),
    history.edseg_log: (None, _RESULT),
    files.edseg_load: (None, None, _MAP),
    files.edseg_load_map: (),
    files.edseg_export: (None, [_words("all", "accepted", "undecided"), "what", ""], _RESULT),
}


def register() -> None:
    """Add the commands to PyMOL; doing it again replaces them."""
    for function, completions in COMMANDS.items():
        name = function.__name__
        function.__doc__ = f"\n{inspect.cleandoc(function.__doc__ or '')}\n"
        cmd.extend(name, _told_what_is_missing(function))
        # Python scripts want the value that a command returns: cmd.edseg_segment(...).
        setattr(cmd, name, function)
        for position, completion in enumerate(completions):
            while position >= len(cmd.auto_arg):
                cmd.auto_arg.append({})
            if completion is not None:
                cmd.auto_arg[position][name] = completion
    session.install(cmd)


def _told_what_is_missing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that says what is missing, which PyMOL does not where a function takes any keyword."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            name = function.__name__
            raise CmdException(f'{name}: {error}; "help {name}" tells how it is used.') from None
        return function(*args, **kwargs)

    return command


def add_menu() -> None:
    """Add the panel to the Plugin menu, if there is a window."""
    from pymol.plugins import QtNotAvailableError, addmenuitemqt

    try:
        addmenuitemqt(MENU, _open_panel)
    except QtNotAvailableError:
        return


def _open_panel() -> None:
    from pymol_edseg.panel import open_panel

    open_panel(cmd)
