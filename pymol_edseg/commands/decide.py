"""Commands that decide about proposals, and take decisions back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg.commands.common import find_result, no_more, parse_identity, parse_ids, refresh
from pymol_edseg.console import complain, say
from pymol_edseg.journal import ACCEPTED, REJECTED, UNDECIDED, Entry
from pymol_edseg.model import already_built, model_name, update_models
from pymol_edseg.state import Result
from pymol_edseg.surfaces import SurfaceError, draw_surfaces


def edseg_accept(
    ids: str | int | Sequence[int],
    as_: str = "",
    model: str = "",
    name: str = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
    **kwargs: Any,
) -> tuple[int, ...]:
    """
    DESCRIPTION

        Accepts proposals: adds them as residues to a model object, with N, CA, C,
        O and CB, bonded to their neighbours and numbered along the chain. Residues
        that the model already has, in place or at a copy by symmetry, are left
        out; the others are put at the symmetry copy nearest to the model. Returns
        the ids that were accepted.

    USAGE

        edseg_accept ids [, as [, model [, name ]]]

    ARGUMENTS

        ids = numbers and ranges such as 3+7-12, an atom selection, or all: those that
            are undecided

        as = residue type to accept them as {default: that of rank 1}

        model = object to add them to {default: NAME_model}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_accept 3+7-12
        edseg_accept 4, as=ILE
        edseg_accept b > 80, model=my_model

    SEE ALSO

        edseg_reject, edseg_relabel, edseg_undo, edseg_export
    """
    result = find_result(_self, name)
    identity = parse_identity(given) if (given := str(kwargs.pop("as", as_))) else None
    no_more(kwargs, "edseg_accept")
    chosen = _chosen(_self, result, ids)
    model = model or model_name(result)
    _check_model(_self, result, model)
    built = _built(_self, result, model, chosen)
    chosen = tuple(number for number in chosen if number not in built)
    done = _act(_self, result, Entry(chosen, ACCEPTED, identity, model))
    also = f"; {len(built)} already in {model}" if built else ""
    say(f"{len(done)} accepted{also}.", int(quiet))
    return done


def edseg_reject(
    ids: str | int | Sequence[int], name: str = "", quiet: str | int = 1, *, _self: Any = cmd
) -> tuple[int, ...]:
    """
    DESCRIPTION

        Rejects proposals: their labels and surfaces disappear, and their
        pseudo-atoms become small and grey. Returns the ids that were rejected.

    USAGE

        edseg_reject ids [, name ]

    ARGUMENTS

        ids = numbers and ranges such as 3+7-12, an atom selection, or all: those that
            are undecided

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_reject b < 20

    SEE ALSO

        edseg_accept, edseg_undo
    """
    result = find_result(_self, name)
    done = _act(_self, result, Entry(_chosen(_self, result, ids), REJECTED))
    say(f"{len(done)} rejected.", int(quiet))
    return done


def edseg_relabel(
    ids: str | int | Sequence[int],
    as_: str = "",
    name: str = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
    **kwargs: Any,
) -> tuple[int, ...]:
    """
    DESCRIPTION

        Gives proposals another residue type without accepting or rejecting them. Returns
        the ids that were changed.

    USAGE

        edseg_relabel ids, as [, name ]

    ARGUMENTS

        ids = numbers and ranges such as 3+7-12, an atom selection, or all

        as = residue type: one of the 20 amino acids, or a class such as VAL/THR

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_relabel 5+6, as=THR

    SEE ALSO

        edseg_accept, edseg_undo
    """
    result = find_result(_self, name)
    identity = parse_identity(str(kwargs.pop("as", as_)))
    no_more(kwargs, "edseg_relabel")
    done = _act(_self, result, Entry(parse_ids(_self, result, ids), identity=identity))
    say(f"{len(done)} are now {identity}.", int(quiet))
    return done


def edseg_undo(name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> tuple[int, ...]:
    """
    DESCRIPTION

        Undoes the last edseg_accept, edseg_reject or edseg_relabel. Returns the
        ids that it concerned.

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
    result = find_result(_self, name)
    models, classes = _models(result), _drawn(result)
    entry = result.journal.undo() if back else result.journal.redo()
    if entry is None:
        raise CmdException(f"There is nothing to {'undo' if back else 'redo'} in {result.name}.")
    _redraw(_self, result, models, classes)
    say(f"{'Undone' if back else 'Redone'}: {_describe(entry)}.", quiet)
    return entry.ids


def _describe(entry: Entry) -> str:
    what = entry.status or "relabelled"
    return f"{len(entry.ids)} {what}" + (f" as {entry.identity}" if entry.identity else "")


def _act(_self: Any, result: Result, entry: Entry) -> tuple[int, ...]:
    changed = result.journal.would_change(entry)
    if changed:
        models, classes = _models(result), _drawn(result)
        result.journal.add(Entry(changed, entry.status, entry.identity, entry.model))
        _redraw(_self, result, models, classes)
    return changed


def _models(result: Result) -> set[str]:
    return {d.model for d in result.journal.decisions().values() if d.status == ACCEPTED and d.model}


def _drawn(result: Result) -> dict[int, str]:
    """Return the class that each proposal's voxels are drawn in; nothing for the rejected."""
    decisions = result.journal.decisions()
    return {
        number: "" if (d := decisions.get(number)) and d.status == REJECTED else label
        for number, label in result.classes().items()
    }


def _redraw(_self: Any, result: Result, models: set[str], classes: dict[int, str]) -> None:
    update_models(_self, result, models)
    drawn = _drawn(result)
    changed = {
        label for number in drawn for label in {drawn[number], classes[number]} if drawn[number] != classes[number]
    }
    if result.view.shown and changed:
        try:
            draw_surfaces(_self, result, changed - {""})
        except SurfaceError as error:  # what the user has deleted must not keep them from deciding
            result.view = replace(result.view, shown=())
            complain(str(error))
    refresh(_self, result)


def _check_model(_self: Any, result: Result, model: str) -> None:
    if model in _self.get_names("objects") and _self.get_type(model) != "object:molecule":
        raise CmdException(f"{model} is not a molecule, so residues cannot be added to it.")
    if model != _self.get_legal_name(model) or model in (result.sites, result.voxels):
        raise CmdException(f"{model!r} cannot be the name of a model; choose another.")


def _built(_self: Any, result: Result, model: str, chosen: Sequence[int]) -> set[int]:
    if model not in _self.get_names("objects"):
        return set()
    proposals, decisions = result.by_id, result.decisions()
    undecided = [proposals[n] for n in chosen if decisions[n].status != ACCEPTED or decisions[n].model != model]
    return already_built(_self, result, model, undecided)


def _chosen(_self: Any, result: Result, ids: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return the ids that the user named; "all" are those that are undecided, lest decisions be overridden."""
    chosen = parse_ids(_self, result, ids)
    if isinstance(ids, str) and ids.strip().lower() == "all":
        decisions = result.decisions()
        chosen = tuple(number for number in chosen if decisions[number].status == UNDECIDED)
    return chosen
