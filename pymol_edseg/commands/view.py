"""Commands that choose what is shown, and step through the proposals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg.commands.common import find_result, parse_number, refresh, store, user_errors
from pymol_edseg.console import complain, say
from pymol_edseg.focus import leave_focus, refresh_surface
from pymol_edseg.label_format import check_format
from pymol_edseg.objects import color_result, confidence_range, focused, show_sites
from pymol_edseg.palette import parse_classes
from pymol_edseg.records import COLOR_MODES
from pymol_edseg.state import Result
from pymol_edseg.surfaces import SurfaceError, set_level


def edseg_color(by: str = "class", name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> str:
    """
    DESCRIPTION

        Sets the colours of the pseudo-atoms and the surface of a result.

    USAGE

        edseg_color [ by [, name ]]

    ARGUMENTS

        by = class, confidence or property {default: class}. The confidence runs
            from dark blue through grey to yellow, between the confidences that a
            twentieth of the proposals fall below or exceed. A property is a group of classes: small, aliphatic,
            proline, aromatic, acidic, basic, hydroxyl, sulphur.

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_color confidence

    SEE ALSO

        edseg_label, edseg_show
    """
    result = find_result(_self, name)
    if by not in COLOR_MODES:
        raise CmdException(f"by is one of {', '.join(COLOR_MODES)}, not {by!r}.")
    result.view = replace(result.view, color=by)
    color_result(_self, result)
    store(_self, result, "view")
    low, high = (100 * x for x in confidence_range(result))
    scale = f", from {low:.0f} % (dark blue) to {high:.0f} % (yellow)" if by == "confidence" else ""
    say(f"{result.name} is coloured by {by}{scale}.", int(quiet))
    return by


def edseg_show(
    classes: str = "all", level: str | float = "", name: str = "", quiet: str | int = 1, *, _self: Any = cmd
) -> tuple[str, ...]:
    """
    DESCRIPTION

        Shows the density of the undecided residues of some classes, in the
        colours of the classes, and leaves the focus on one residue. Returns the
        classes that are shown.

    USAGE

        edseg_show [ classes [, level [, name ]]]

    ARGUMENTS

        classes = residue types or groups of them, joined by +: PHE+TYR+TRP,
            aromatic, all, none {default: all}

        level = level of the density, in the units of the map {default: that of
            the map's mesh or surface, else 1.5 standard deviations}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_show PHE+TYR+TRP, level=1.2
        edseg_show aromatic+CYS
        edseg_show none

    SEE ALSO

        edseg_color, edseg_segment
    """
    result = find_result(_self, name)
    with user_errors(ValueError, SurfaceError):
        chosen = parse_classes(classes)
        given = None if level == "" else parse_number(level, "level")
        if given is not None and not math.isfinite(given):
            raise CmdException(f"level must be a number, not {level!r}.")
        before = result.view
        try:
            if chosen == before.shown and given is not None:
                set_level(_self, result, given)
            else:
                result.view = replace(before, shown=chosen)
                if given is not None:
                    set_level(_self, result, given)
                if focused(_self, result) is not None:  # there, no class would be seen to come or go
                    leave_focus(_self, result)
                    show_sites(_self, result)
                refresh_surface(_self, result)
        except (ValueError, SurfaceError):
            result.view = before
            raise
    store(_self, result, "view")
    shown, drawn = result.view.shown, result.view.level
    at = "" if drawn is None else f" at {drawn:.3g}"
    say(f"{result.name} shows {'+'.join(shown) or 'no class'}{at}.", int(quiet))
    return shown


def edseg_label(
    format: str = "ranks",
    min_confidence: str | float = 0.0,
    name: str = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
) -> int:
    """
    DESCRIPTION

        Labels the pseudo-atoms of a result. Returns the number of labels.

    USAGE

        edseg_label [ format [, min_confidence [, name ]]]

    ARGUMENTS

        format = focus, ranks, rank1, id, none, or a text with the fields {id}, {label},
            {confidence}, {label1} to {label3}, {p1} to {p3}, the numbers in
            per cent {default: ranks, for instance LEU 71 / ILE 18, without ranks
            below 5 %}. With focus only the neighbours of the current residue have
            their types.

        min_confidence = label only proposals of at least this confidence, in per
            cent {default: 0}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_label rank1, min_confidence=50
        edseg_label {id}: {label1} {p1:.0f}%

    SEE ALSO

        edseg_color
    """
    result = find_result(_self, name)
    least = parse_number(min_confidence, "min_confidence")
    if not 0 <= least <= 100:
        raise CmdException(f"min_confidence must be from 0 to 100 (per cent), not {min_confidence!r}.")
    with user_errors(ValueError):
        result.view = replace(result.view, label=check_format(str(format)), min_confidence=least)
    refresh(_self, result, "view")
    shown = _count_labels(_self, result)
    say(f"{shown} proposals of {result.name} are labelled.", int(quiet))
    best = 100 * max((p.confidence for p in result.proposals), default=0.0)
    if best < least:
        complain(f"No proposal of {result.name} has a confidence of {least:g} %; the highest is {best:.0f} %.")
    elif 0 < least <= 1:
        complain(f"min_confidence is in per cent: {least:g} is {least:g} %, not {100 * least:g} %.")
    return shown


def _count_labels(_self: Any, result: Result) -> int:
    texts: list[str] = []
    _self.iterate(f"%{result.sites}", "texts.append(label)", space={"texts": texts})
    return sum(1 for text in texts if text)
