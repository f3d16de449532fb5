"""Commands that choose what is shown, and step through the proposals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg.commands.common import find_result, parse_ids, parse_number, parse_whole, refresh, store, user_errors
from pymol_edseg.console import application, complain, say
from pymol_edseg.journal import STATUSES
from pymol_edseg.label_format import check_format
from pymol_edseg.objects import color_sites
from pymol_edseg.ordering import ORDERS, order_of
from pymol_edseg.palette import parse_classes
from pymol_edseg.records import COLOR_MODES
from pymol_edseg.state import Result, state_of
from pymol_edseg.surfaces import SurfaceError, draw_surfaces, set_level


def edseg_color(by: str = "class", name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> str:
    """
    DESCRIPTION

        Sets the colours of the pseudo-atoms of a result.

    USAGE

        edseg_color [ by [, name ]]

    ARGUMENTS

        by = class, confidence or property {default: class}. The confidence runs
            from dark blue (0 %) through grey to yellow (100 %). A property is a
            group of classes: small, aliphatic, proline, aromatic, acidic, basic, hydroxyl,
            sulphur.

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
    color_sites(_self, result)
    store(_self, result, "view")
    say(f"{result.name} is coloured by {by}.", int(quiet))
    return by


def edseg_show(
    classes: str = "all", level: str | float = "", name: str = "", quiet: str | int = 1, *, _self: Any = cmd
) -> tuple[str, ...]:
    """
    DESCRIPTION

        Shows isosurfaces of the density, one object for each residue class, in
        the colour of the class. Returns the classes that are shown.

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
                result.view = replace(before, shown=chosen, level=before.level if given is None else given)
                draw_surfaces(_self, result)
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

        format = ranks, rank1, id, none, or a text with the fields {id}, {label},
            {confidence}, {label1} to {label3}, {p1} to {p3}, the numbers in
            per cent {default: ranks, for instance LEU 71 / ILE 18 / MET 4}

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


def edseg_goto(id: str | int, name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> int:
    """
    DESCRIPTION

        Centres the view on a proposal. Returns its id.

    USAGE

        edseg_goto id [, name ]

    ARGUMENTS

        id = number of the proposal, or a selection of its pseudo-atom

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_goto 12

    SEE ALSO

        edseg_next
    """
    result = find_result(_self, name)
    number = parse_ids(_self, result, id)[0]
    _visit(_self, result, number, int(quiet))
    return number


def edseg_next(
    by: str = "confidence",
    status: str = "undecided",
    step: str | int = 1,
    name: str = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
) -> int:
    """
    DESCRIPTION

        Centres the view on the next proposal. Returns its id.

    USAGE

        edseg_next [ by [, status [, step [, name ]]]]

    ARGUMENTS

        by = confidence: the most confident first; class: by class, the most
            confident first in each; chain: from neighbour to neighbour
            {default: confidence}

        status = undecided, accepted, rejected or all {default: undecided}

        step = 1 for the next, -1 for the one before {default: 1}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_next
        edseg_next chain, status=all

    SEE ALSO

        edseg_goto, edseg_accept, edseg_reject
    """
    result = find_result(_self, name)
    if by not in ORDERS:
        raise CmdException(f"by is one of {', '.join(ORDERS)}, not {by!r}.")
    if status not in (*STATUSES, "all"):
        raise CmdException(f"status is one of {', '.join(STATUSES)}, all, not {status!r}.")
    decisions = result.decisions()
    order = order_of(result, by)
    wanted = [n for n in order if status == "all" or decisions[n].status == status]
    if not wanted:
        raise CmdException(f"{result.name} has no {status} proposal.")
    number = _step(order, set(wanted), result.current, parse_whole(step, "step"))
    _visit(_self, result, number, int(quiet))
    return number


def _step(order: list[int], wanted: set[int], current: int | None, step: int) -> int:
    """Return the wanted number that comes `step` places after the current one, round and round."""
    here = order.index(current) if current in order else (-1 if step > 0 else 0)
    direction = 1 if step >= 0 else -1
    for _ in range(max(1, abs(step))):
        here = (here + direction) % len(order)
        while order[here] not in wanted:
            here = (here + direction) % len(order)
    return order[here]


def _visit(_self: Any, result: Result, number: int, quiet: int) -> None:
    result.current = number
    chain, resi = result.by_id[number].address
    _self.zoom(f"%{result.sites} and chain {chain} and resi {resi}", 9, animate=0.3 if application() else 0)
    text = _label_line(result, number)
    say(text, quiet)
    state_of(_self).changed("current")


def _label_line(result: Result, number: int) -> str:
    proposal, decision = result.by_id[number], result.decisions()[number]
    ranks = ", ".join(f"{label} {100 * p:.0f} %" for label, p in proposal.ranks)
    identity = f" as {decision.identity}" if decision.identity else ""
    return f"{number}: {ranks}; confidence {100 * proposal.confidence:.0f} %; {decision.status}{identity}"
