"""What the commands share that decide: which proposals are meant, and an action with all that follows from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymol import CmdException

from pymol_edseg.commands.common import parse_ids, parse_number, refresh
from pymol_edseg.console import complain
from pymol_edseg.focus import refresh_surface
from pymol_edseg.journal import UNDECIDED, Entry
from pymol_edseg.model import update_models
from pymol_edseg.state import Result
from pymol_edseg.surfaces import SurfaceError


def chosen_ids(cmd: Any, result: Result, ids: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return the ids that the user named; "all" are those listed that are undecided, lest decisions be overridden."""
    chosen = parse_ids(cmd, result, ids)
    if isinstance(ids, str) and ids.strip().lower() == "all":
        decisions = result.decisions()
        chosen = tuple(n for n in chosen if decisions[n].status == UNDECIDED and result.is_listed(n))
    return chosen


def of_confidence(result: Result, ids: Sequence[int], least: str | float, below: str | float) -> tuple[int, ...]:
    """Return those ids whose proposals are at least so sure, and less sure than that (per cent); "" is no limit."""
    low, high = (_per_cent(least, "min_confidence", 0.0), _per_cent(below, "below", 1000.0))
    return tuple(number for number in ids if low <= 100 * result.by_id[number].confidence < high)


def _per_cent(value: str | float, what: str, default: float) -> float:
    if value == "":
        return default
    number = parse_number(value, what)
    if not 0 <= number <= 100:
        raise CmdException(f"{what} must be from 0 to 100 (per cent), not {value!r}.")
    if 0 < number <= 1:
        complain(f"{what} is in per cent: {number:g} is {number:g} %, not {100 * number:g} %.")
    return number


def act(cmd: Any, result: Result, entry: Entry) -> tuple[int, ...]:
    """Do what the user decided, as far as it changes anything, and return the ids that were changed."""
    changed = result.journal.would_change(entry)
    if changed:
        models = result.models()
        result.journal.add(replace(entry, ids=changed, time=round(time.time(), 1)))
        redraw(cmd, result, models)
    return changed


def travel(cmd: Any, result: Result, back: bool) -> Entry:
    """Undo or redo an action and return it."""
    models = result.models()
    entry = result.journal.undo() if back else result.journal.redo()
    if entry is None:
        raise CmdException(f"There is nothing to {'undo' if back else 'redo'} in {result.name}.")
    redraw(cmd, result, models)
    return entry


def redraw(cmd: Any, result: Result, models: set[str]) -> None:
    """Show and store what was decided; `models` are those that held residues before."""
    update_models(cmd, result, models)
    if result.view.shown:
        try:
            refresh_surface(cmd, result)
        except SurfaceError as error:  # what the user has deleted must not keep them from deciding
            result.view = replace(result.view, shown=())
            complain(str(error))
    refresh(cmd, result)


def many(ids: Sequence[int], what: str) -> str:
    """Return how many residues something happened to: ``"1 residue accepted"``."""
    return f"{len(ids)} residue{'' if len(ids) == 1 else 's'} {what}"
