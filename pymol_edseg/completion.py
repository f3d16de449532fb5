"""Listing some proposals only: what a partial model lacks, with the numbers of its chains, and what is doubtful."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pymol_edseg.crystal import Image, Neighbours, Position
from pymol_edseg.doubts import doubts
from pymol_edseg.focus import leave_focus, refresh_surface
from pymol_edseg.model import NEIGHBOUR, SAME, built_residues, nearest_images
from pymol_edseg.objects import draw_sites, draw_trace, update_sites
from pymol_edseg.state import Check, Completion, Result

#: Chain and number of a residue.
Slot = tuple[str, int]


def complete(cmd: Any, result: Result, model: str) -> Completion:
    """List only what a model lacks, at the symmetry copies nearest to it; raises `SurfaceError` as the surface does."""
    restore(cmd, result)
    built = built_residues(cmd, model, result, result.proposals)
    keys, places = [slot for slot, _ in built], [place for _, place in built]
    near = Neighbours(result.crystal, places, SAME)
    has: dict[int, Slot] = {}
    for p in result.proposals:
        if contact := near.within(p.anchor):
            has[p.id] = keys[contact.other]
    lacking = [p for p in result.proposals if p.id not in has]
    known = Neighbours(result.crystal, places, NEIGHBOUR)
    completion = Completion(model, nearest_images(result, lacking, known), slots(result.stretches, has, set(keys)))
    _show(cmd, result, completion)
    return completion


def list_doubts(cmd: Any, result: Result, model: str = "", check: Check | None = None) -> Completion:
    """List only what is doubtful of the proposals, or where a model disagrees; raises `SurfaceError`.

    Without any doubt, nothing is changed.
    """
    if check is None:
        found = doubts(result)
        completion = Completion("", dict.fromkeys(found, Image()), doubts=found)
    else:
        completion = _doubts_in_model(cmd, result, model, check)
    if completion.images:
        restore(cmd, result)
        _show(cmd, result, completion)
    return completion


def _doubts_in_model(cmd: Any, result: Result, model: str, check: Check) -> Completion:
    """Find the proposals, or copies by symmetry of them, that lie where a model disagrees with the map."""
    said = {key: doubt.text for doubt in check.doubts for key in doubt.residues}
    places: dict[tuple[str, str], Position] = {}
    space = {"places": places}
    cmd.iterate_state(1, f"%{model} and name CA", "places.update({(chain, resi): (x, y, z)})", space=space)
    keys = [key for key in places if key in said]
    near = Neighbours(result.crystal, [places[key] for key in keys], SAME)
    contacts = {p.id: contact for p in result.data.proposals if (contact := near.within(p.anchor))}
    images = {number: contact.image for number, contact in contacts.items()}
    return Completion(model, images, doubts={n: said[keys[contact.other]] for n, contact in contacts.items()})


def restore(cmd: Any, result: Result) -> None:
    """List all proposals again, in their own places."""
    if result.completion is not None:
        _show(cmd, result, None)


def slots(stretches: Sequence[Sequence[int]], has: Mapping[int, Slot], taken: set[Slot]) -> dict[int, Slot]:
    """Return chain and number of what a model lacks, counted from the neighbours in the chain that it has.

    Parameters
    ----------
    stretches
        Ids of proposals along the chain.
    has
        The residues that the model has for proposals.
    taken
        All residues of the model; no residue gets one of these, and no two get the same.
    """
    found: dict[int, Slot] = {}
    for stretch in stretches:
        for lacking, group in itertools.groupby(enumerate(stretch), key=lambda pair: pair[1] not in has):
            piece = list(group)
            if not lacking:
                continue
            before, after = piece[0][0] - 1, piece[-1][0] + 1
            start = has[stretch[before]] if before >= 0 else None
            end = has[stretch[after]] if after < len(stretch) else None
            wanted = [(start[0], start[1] + i) for i in range(1, len(piece) + 1)] if start else []
            if end and not (wanted and wanted[-1] == (end[0], end[1] - 1)):
                wanted = [] if start else [(end[0], end[1] - i) for i in range(len(piece), 0, -1)]
            if not taken & set(wanted):
                found |= {number: slot for (_, number), slot in zip(piece, wanted, strict=bool(wanted))}
                taken = taken | set(wanted)
    return found


def described(completion: Completion) -> str:
    """Return the gaps that would be filled: ``"A 30-36, A 95"``."""
    gaps: list[str] = []
    ordered = sorted(completion.slots.values())
    for _, run in itertools.groupby(enumerate(ordered), key=lambda pair: (pair[1][0], pair[1][1] - pair[0])):
        numbers = [slot for _, slot in run]
        (chain, first), (_, last) = numbers[0], numbers[-1]
        gaps.append(f"{chain} {first}" + (f"-{last}" if last > first else ""))
    return ", ".join(gaps)


def _show(cmd: Any, result: Result, completion: Completion | None) -> None:
    before = result.completion.images if result.completion else {}
    after = completion.images if completion else {}
    leave_focus(cmd, result)
    _move_voxels(cmd, result, before, after)
    result.complete(completion)
    draw_sites(cmd, result)
    draw_trace(cmd, result)
    update_sites(cmd, result)
    if result.view.shown:
        refresh_surface(cmd, result)


def _move_voxels(cmd: Any, result: Result, before: Mapping[int, Image], after: Mapping[int, Image]) -> None:
    """Move the voxels of residues from one symmetry copy to another."""
    nowhere = Image()
    moves = {
        p.address: (result.crystal.inverse(before.get(p.id, nowhere)), after.get(p.id, nowhere))
        for p in result.data.proposals
        if before.get(p.id, nowhere) != after.get(p.id, nowhere)
    }
    if moves and result.voxels in cmd.get_names("objects"):

        def moved(chain: str, resi: str, xyz: tuple[float, float, float]) -> tuple[float, ...]:
            if (chain, resi) not in moves:
                return xyz
            back, there = moves[chain, resi]
            return result.crystal.move(there, result.crystal.move(back, xyz))

        cmd.alter_state(1, f"%{result.voxels}", "(x, y, z) = moved(chain, resi, (x, y, z))", space={"moved": moved})
