"""Commands that go from proposal to proposal, and back to the overview."""

from __future__ import annotations

from typing import Any

from pymol import CmdException, cmd

from pymol_edseg.commands.common import find_result, parse_ids, parse_whole, store, user_errors
from pymol_edseg.completion import complete, described, restore
from pymol_edseg.console import say
from pymol_edseg.focus import show_focus, show_overview
from pymol_edseg.journal import STATUSES
from pymol_edseg.ordering import ORDERS, order_of
from pymol_edseg.state import Result, state_of
from pymol_edseg.surfaces import SurfaceError


def edseg_goto(id: str | int, name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> int:
    """
    DESCRIPTION

        Focuses on a proposal: shows its own density, the map within 9 A and the
        types of its neighbours. Returns its id.

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


def edseg_overview(name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> str:
    """
    DESCRIPTION

        Shows all of a result again, after edseg_next and edseg_goto. Returns its
        name.

    USAGE

        edseg_overview [ name ]

    ARGUMENTS

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_overview

    SEE ALSO

        edseg_next, edseg_goto, edseg_show
    """
    result = find_result(_self, name)
    with user_errors(SurfaceError):
        show_overview(_self, result)
    say(f"All of {result.name} is shown.", int(quiet))
    return result.name


def edseg_complete(model: str, name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> tuple[int, ...]:
    """
    DESCRIPTION

        Lists and shows only what a partial model lacks, at the symmetry copies
        beside it. Proposals whose neighbours in the chain the model has get the
        numbers that follow; "edseg_accept gaps" adds them under these. Returns the
        ids of what the model lacks.

    USAGE

        edseg_complete model [, name ]

    ARGUMENTS

        model = object with the partial model; none shows all proposals again

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_complete my_model
        edseg_next chain
        edseg_accept gaps

    SEE ALSO

        edseg_accept, edseg_next
    """
    result = find_result(_self, name)
    if model.lower() != "none" and model not in _self.get_names_of_type("object:molecule"):
        raise CmdException(f"There is no model {model!r}.")
    with user_errors(SurfaceError):
        if model.lower() == "none":
            restore(_self, result)
        else:
            complete(_self, result, model)
            show_overview(_self, result)
    store(_self, result, "results")
    completion = result.completion
    if completion is None:
        say(f"All proposals of {result.name} are listed.", int(quiet))
        return ()
    gaps = f"; {described(completion)} would be filled" if completion.slots else ""
    say(f"{model} lacks {len(completion.images)} of {len(result.proposals)} residues{gaps}.", int(quiet))
    return tuple(completion.images)


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

        Focuses on the next proposal, as edseg_goto does. Returns its id.

    USAGE

        edseg_next [ by [, status [, step [, name ]]]]

    ARGUMENTS

        by = confidence: the most confident first; doubt: those of less than 50 %
            and those whose neighbours in the chain disagree, then the others,
            the least confident first; class: by class, the most confident first in each; chain: from
            neighbour to neighbour {default: confidence}

        status = undecided, accepted, rejected or all {default: undecided}

        step = 1 for the next, -1 for the one before {default: 1}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_next
        edseg_next chain, status=all

    SEE ALSO

        edseg_goto, edseg_overview, edseg_accept, edseg_reject
    """
    result = find_result(_self, name)
    if by not in ORDERS:
        raise CmdException(f"by is one of {', '.join(ORDERS)}, not {by!r}.")
    if status not in (*STATUSES, "all"):
        raise CmdException(f"status is one of {', '.join(STATUSES)}, all, not {status!r}.")
    decisions = result.decisions()
    order = order_of(result, by)
    wanted = [n for n in order if (status == "all" or decisions[n].status == status) and result.is_listed(n)]
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
    show_focus(_self, result, number)
    say(_label_line(result, number), quiet)
    state_of(_self).changed("current")


def _label_line(result: Result, number: int) -> str:
    proposal, decision = result.by_id[number], result.decisions()[number]
    ranks = ", ".join(f"{label} {100 * p:.0f} %" for label, p in proposal.ranks)
    identity = f" as {decision.identity}" if decision.identity else ""
    odd = "; its neighbours in the chain disagree" if number in result.at_odds else ""
    return f"{number}: {ranks}; confidence {100 * proposal.confidence:.0f} %{odd}; {decision.status}{identity}"
