"""Commands that check a model against a map, and step through what disagrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg import storage
from pymol_edseg.checking import CHECK
from pymol_edseg.commands.common import find_result, no_more, parse_whole, store, user_errors
from pymol_edseg.commands.start import network_options, prepare, start
from pymol_edseg.completion import list_doubts
from pymol_edseg.console import application, say
from pymol_edseg.focus import show_overview
from pymol_edseg.objects import select_residues
from pymol_edseg.state import Check, state_of
from pymol_edseg.surfaces import SurfaceError

_MOST_IN_PDB = 99_999
_HERE = "_edseg_doubt"


def edseg_check(
    model: str,
    map_obj: str,
    resolution: str | float = "",
    device: str = "auto",
    async_: str | int = -1,
    weights: str = "",
    orientations: str | int = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
    **kwargs: Any,
) -> int:
    """
    DESCRIPTION

        Checks the residue types and the register of a model against a map. The
        model is coloured by the probability of each residue's own type, from red
        (0 %) through white to blue (100 %); grey where there is no density.
        Stretches that fit better a few residues off are selected as
        edseg_shifted. B-factors stay as they are. Returns how many places
        disagree with the map, or 0 if it returns at once.

    USAGE

        edseg_check model, map_obj [, resolution [, device [, async [, weights
            [, orientations ]]]]]

    ARGUMENTS

        model = object with the model, in the state that is shown

        map_obj = name of a map object in which the model lies, in any symmetry copy

        resolution = resolution of the data in A; needed once for each map

        device = as in edseg_segment

        async = 0/1: wait for the end, or return at once {default: wait in scripts
            and without a window, return at once when typed in the window}

        weights, orientations = as in edseg_segment

    EXAMPLE

        edseg_check my_model, map, 2.0
        edseg_next_doubt

    SEE ALSO

        edseg_next_doubt, edseg_build, edseg_segment
    """
    async_, quiet = parse_whole(kwargs.pop("async", async_), "async"), int(quiet)
    no_more(kwargs, "edseg_check")
    if model not in _self.get_names_of_type("object:molecule"):
        raise CmdException(f"There is no model {model!r}.")
    if not _self.count_atoms(f"%{model} and name CA"):
        raise CmdException(f"{model} has no protein to check.")
    prepared = prepare(_self, map_obj, resolution)
    options = ["--resolution", f"{prepared.d_min:g}", *network_options(_self, device, weights, orientations)]
    file = "model.pdb" if _fits_pdb(_self, model) else "model.cif"
    text = _self.get_str(file.rpartition(".")[2], f"%{model}", -1)

    def arguments(folder: Path) -> list[str]:
        return [str(folder / file), str(folder / storage.MAP), *options]

    before = state_of(_self).checks.get(model)
    start(_self, CHECK, model, prepared, arguments, async_, quiet, {file: text.encode()})
    check = state_of(_self).checks.get(model)
    return len(check.doubts) if check and check is not before else 0


def _fits_pdb(_self: Any, model: str) -> bool:
    """Return whether a PDB file can hold a model: it has one letter for a chain, and four digits for a residue."""
    found: set[tuple[str, int]] = set()
    _self.iterate(f"%{model}", "found.add((chain, resv))", space={"found": found})
    fits = all(len(chain) <= 1 and -1000 < number < 10_000 for chain, number in found)
    return fits and _self.count_atoms(f"%{model}") <= _MOST_IN_PDB


def edseg_next_doubt(step: str | int = 1, model: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> str:
    """
    DESCRIPTION

        Centres the view on the next place where a model that was checked
        disagrees with the map: a residue of another type, or a stretch that
        fits better a few residues off. Returns what is doubtful there.

    USAGE

        edseg_next_doubt [ step [, model ]]

    ARGUMENTS

        step = 1 for the next, -1 for the one before {default: 1}

        model = object with the model {default: the one checked last}

    EXAMPLE

        edseg_check my_model, map, 2.0
        edseg_next_doubt

    SEE ALSO

        edseg_check, edseg_next
    """
    name, check = _find_check(_self, model)
    if not check.doubts:
        raise CmdException(f"Nothing in {name} disagrees with the map.")
    here, step = check.current, parse_whole(step, "step")
    check.current = (-1 if here is None and step > 0 else here or 0) + step
    check.current %= len(check.doubts)
    doubt = check.doubts[check.current]
    if not select_residues(_self, _HERE, name, doubt.residues):
        _self.delete(_HERE)
        raise CmdException(f"{name} no longer has {doubt.text.partition(':')[0]}; check it again.")
    _self.zoom(_HERE, 6, animate=0.3 if application() else 0)
    _self.delete(_HERE)
    say(f"{name}, {check.current + 1} of {len(check.doubts)}: {doubt.text}", int(quiet))
    return doubt.text


def edseg_doubts(model: str = "", name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> tuple[int, ...]:
    """
    DESCRIPTION

        Lists and shows only the proposals that deserve a look first. Without a
        model, they are those of less than 50 % confidence, and those whose
        neighbours in the chain disagree. With a model that was checked, they are
        those at its doubtful types and register shifts, at the symmetry copies
        where it lies. "edseg_complete none" lists all again. Returns their ids.

    USAGE

        edseg_doubts [ model [, name ]]

    ARGUMENTS

        model = object with a model that edseg_check has checked {default: none}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_doubts
        edseg_next doubt

    SEE ALSO

        edseg_next, edseg_check, edseg_complete
    """
    result = find_result(_self, name)
    check = _find_check(_self, model)[1] if model else None
    with user_errors(SurfaceError):
        found = list_doubts(_self, result, model, check)
        if not found.images:
            raise CmdException(f"Nothing in {model or result.name} is doubtful.")
        show_overview(_self, result)
    store(_self, result, "results")
    for number, text in found.doubts.items():
        say(f"{number}: {text}", int(quiet))
    return tuple(found.images)


def _find_check(_self: Any, model: str) -> tuple[str, Check]:
    objects = set(_self.get_names("objects"))
    checks = {name: check for name, check in state_of(_self).checks.items() if name in objects}
    if not checks or (model and model not in checks):
        unchecked = f"{model} has not been checked" if model else "No model has been checked"
        raise CmdException(f"{unchecked}; run edseg_check.")
    name = model or list(checks)[-1]
    return name, checks[name]
