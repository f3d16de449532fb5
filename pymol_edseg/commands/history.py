"""Commands that take decisions back, and list them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg import storage
from pymol_edseg.commands.acting import travel
from pymol_edseg.commands.common import find_result
from pymol_edseg.console import say
from pymol_edseg.journal import Entry


def edseg_undo(name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> tuple[int, ...]:
    """
    DESCRIPTION

        Undoes the last edseg_accept, edseg_reject, edseg_relabel or edseg_comment.
        Returns the ids that it concerned.

    USAGE

        edseg_undo [ name ]

    ARGUMENTS

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_reject all
        edseg_undo

    SEE ALSO

        edseg_redo
    """
    return _travel(_self, name, int(quiet), back=True)


def edseg_redo(name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> tuple[int, ...]:
    """
    DESCRIPTION

        Repeats what edseg_undo undid. Returns the ids that it concerned.

    USAGE

        edseg_redo [ name ]

    ARGUMENTS

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_undo
        edseg_redo

    SEE ALSO

        edseg_undo
    """
    return _travel(_self, name, int(quiet), back=False)


def _travel(_self: Any, name: str, quiet: int, back: bool) -> tuple[int, ...]:
    entry = travel(_self, find_result(_self, name), back)
    say(f"{'Undone' if back else 'Redone'}: {entry}.", quiet)
    return entry.ids


def edseg_log(file: str = "", name: str = "", quiet: str | int = 0, *, _self: Any = cmd) -> list[str]:
    """
    DESCRIPTION

        Lists what was decided, in order, with time, residues and comments; what was
        undone is left out. Returns the lines.

    USAGE

        edseg_log [ file [, name ]]

    ARGUMENTS

        file = text file to write it to {default: none, it is printed}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_log
        edseg_log decisions.txt

    SEE ALSO

        edseg_undo, edseg_comment, edseg_export
    """
    result = find_result(_self, name)
    lines = [_line(entry) for entry in result.journal.entries[: result.journal.position]]
    if not file:
        for line in lines or ["Nothing was decided."]:
            say(line, int(quiet))
        return lines
    path = Path(_self.exp_path(file))
    try:
        storage.write_text(path, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise CmdException(f"Cannot write {path}: {error.strerror}.") from error
    say(f"{len(lines)} decisions written to {path}.", int(quiet))
    return lines


def _line(entry: Entry) -> str:
    when = "" if entry.time is None else f"{datetime.fromtimestamp(entry.time):%Y-%m-%d %H:%M}  "
    where = f" in {entry.model}" if entry.model else ""
    comment = f": {entry.comment}" if entry.comment else ""
    return f"{when}{entry}{where}{comment} ({'+'.join(map(str, entry.ids))})"
