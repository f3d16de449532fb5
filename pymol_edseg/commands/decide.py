"""Commands that decide about proposals, and comment on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg import checked
from pymol_edseg.commands.acting import act, chosen_ids, many, of_confidence
from pymol_edseg.commands.common import find_result, no_more, parse_identity, parse_ids, user_errors
from pymol_edseg.console import say
from pymol_edseg.journal import ACCEPTED, REJECTED, Entry
from pymol_edseg.model import already_built, model_name
from pymol_edseg.state import Result


def edseg_accept(
    ids: str | int | Sequence[int],
    as_: str = "",
    model: str = "",
    name: str = "",
    min_confidence: str | float = "",
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

        edseg_accept ids [, as [, model [, name [, min_confidence ]]]]

    ARGUMENTS

        ids = numbers and ranges such as 3+7-12, an atom selection, all: those listed
            that are undecided, or gaps: those that edseg_complete has numbers for

        as = residue type to accept them as, in three letters or one {default: that
            of rank 1}

        model = object to add them to {default: NAME_model, or the model of
            edseg_complete}

        name = name of the result {default: the last one}

        min_confidence = only those of at least this confidence, in per cent

    EXAMPLE

        edseg_accept 3+7-12
        edseg_accept 4, as=ILE
        edseg_accept all, min_confidence=80, model=my_model

    SEE ALSO

        edseg_reject, edseg_relabel, edseg_undo, edseg_export
    """
    result = find_result(_self, name)
    identity = parse_identity(given) if (given := str(kwargs.pop("as", as_))) else None
    no_more(kwargs, "edseg_accept")
    chosen = of_confidence(result, chosen_ids(_self, result, ids), min_confidence, "")
    model = model or (result.completion.model if result.completion else "") or model_name(result)
    _check_model(_self, result, model)
    built = _built(_self, result, model, chosen)
    chosen = tuple(number for number in chosen if number not in built)
    done = act(_self, result, Entry(chosen, ACCEPTED, identity, model))
    also = f"; {len(built)} already in {model}" if built else ""
    say(f"{many(done, 'accepted')}{also}.", int(quiet))
    return done


def edseg_reject(
    ids: str | int | Sequence[int],
    name: str = "",
    below: str | float = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
) -> tuple[int, ...]:
    """
    DESCRIPTION

        Rejects proposals: their labels and surfaces disappear, and their
        pseudo-atoms become grey crosses. Returns the ids that were rejected.

    USAGE

        edseg_reject ids [, name [, below ]]

    ARGUMENTS

        ids = numbers and ranges such as 3+7-12, an atom selection, or all: those
            listed that are undecided

        name = name of the result {default: the last one}

        below = only those of less confidence than this, in per cent

    EXAMPLE

        edseg_reject all, below=20

    SEE ALSO

        edseg_accept, edseg_undo
    """
    result = find_result(_self, name)
    chosen = of_confidence(result, chosen_ids(_self, result, ids), "", below)
    done = act(_self, result, Entry(chosen, REJECTED))
    say(f"{many(done, 'rejected')}.", int(quiet))
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

        as = residue type: one of the 20 amino acids, in three letters or one, or a
            class such as VAL/THR

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_relabel 5+6, as=THR

    SEE ALSO

        edseg_accept, edseg_undo
    """
    result = find_result(_self, name)
    identity = parse_identity(str(kwargs.pop("as", as_)))
    no_more(kwargs, "edseg_relabel")
    done = act(_self, result, Entry(parse_ids(_self, result, ids), identity=identity))
    say(f"{many(done, 'is' if len(done) == 1 else 'are')} now {identity}.", int(quiet))
    return done


def edseg_comment(
    ids: str | int | Sequence[int], text: str = "", name: str = "", quiet: str | int = 1, *, _self: Any = cmd
) -> tuple[int, ...]:
    """
    DESCRIPTION

        Notes a comment on proposals, whatever is decided about them; it is in the
        table, in edseg_log and in exported CSV files. Returns the ids that were
        changed.

    USAGE

        edseg_comment ids, text [, name ]

    ARGUMENTS

        ids = numbers and ranges such as 3+7-12, an atom selection, or all

        text = a line of text; nothing takes the comment away

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_comment 12, side chain in two places

    SEE ALSO

        edseg_log, edseg_accept
    """
    result = find_result(_self, name)
    with user_errors(ValueError):
        comment = checked.text(str(text))
    done = act(_self, result, Entry(parse_ids(_self, result, ids), comment=comment))
    say(f"{many(done, 'commented on' if comment else 'without comment')}.", int(quiet))
    return done


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
