"""The command that writes files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg.commands.common import find_result
from pymol_edseg.export import FORMATS, WHAT, exported
from pymol_edseg.persist import write_text
from pymol_edseg.pump import say


def edseg_export(file: str, what: str = "all", name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> int:
    """
    DESCRIPTION

        Writes labelled centroids to a file. Returns the number of residues in it.

    USAGE

        edseg_export file [, what [, name ]]

    ARGUMENTS

        file = name ending in .pdb, .cif, .csv or .pml. A .pml script shows the
            centroids in a PyMOL that has no plugin.

        what = all, accepted or undecided {default: all}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_export residues.cif, accepted

    SEE ALSO

        edseg_accept, edseg_load
    """
    result = find_result(_self, name)
    path = Path(_self.exp_path(file))
    form = path.suffix.lower().lstrip(".").replace("mmcif", "cif").replace("ent", "pdb")
    if form not in FORMATS:
        raise CmdException(f"{path.name} must end in .{', .'.join(FORMATS)}.")
    if what not in WHAT:
        raise CmdException(f"what is one of {', '.join(WHAT)}, not {what!r}.")
    text, count = exported(result, what, form)
    if not count:
        raise CmdException(f"{result.name} has no residue to export ({what}).")
    if not path.parent.is_dir():
        raise CmdException(f"There is no folder {path.parent} to write {path.name} to.")
    try:
        write_text(path, text)
    except OSError as error:
        raise CmdException(f"Cannot write {path}: {error.strerror}.") from error
    say(f"{count} residues written to {path}.", int(quiet))
    return count
