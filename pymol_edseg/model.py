"""Accepted residues in model objects of PyMOL.

An accepted residue has N, CA, C, O and CB, in ideal geometry where its voxels vote them to be, or one pseudo-atom at
its centroid where the network does not vote for atoms. The atoms of a result carry its name as custom property: so they
are found again in any object.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pymol_edseg.crystal import Contact, Image, Neighbours, Position, pymol_symbol
from pymol_edseg.geometry import turn_oxygen
from pymol_edseg.objects import atom, load_atoms, move
from pymol_edseg.palette import NAMES, class_of, file_name
from pymol_edseg.proposals import NEXT, PREVIOUS, Proposal
from pymol_edseg.state import Result
from pymol_edseg.tracing import residue_numbers

#: A residue nearer (Å) to a proposal, or to a copy by symmetry, is the same one.
SAME = 2.0
#: Centroids of neighbours along a chain are at most about this far apart (Å).
NEIGHBOUR = 7.5
#: C and N nearer (Å) than this are bonded, if their residues are neighbours.
_BOND = 2.5
BONDS = (("N", "CA", 1), ("CA", "C", 1), ("C", "O", 2), ("CA", "CB", 1))
_RESIDUES_PER_CHAIN = 9999
_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def update_models(cmd: Any, result: Result, before: Iterable[str] = ()) -> None:
    """Make the model objects hold the accepted residues of a result, and no others of its own.

    Parameters
    ----------
    before
        Models that held residues of the result until now.
    """
    decisions, proposals = result.decisions(), result.by_id
    wanted: dict[str, list[Proposal]] = defaultdict(list)
    for number in result.journal.accepted():
        wanted[decisions[number].model or model_name(result)].append(proposals[number])
    for model in {*before, *wanted}:
        _replace_atoms(cmd, result, model, wanted.get(model, []))


def model_name(result: Result) -> str:
    """Return the model that accepted residues go to unless the user names another."""
    return f"{result.name}_model"


def _own(result: Result) -> str:
    """Return the selection of the atoms of a result; earlier versions wrote its name into the segment identifier."""
    return f"(custom {result.name} or segi {result.name})"


def _replace_atoms(cmd: Any, result: Result, model: str, accepted: Sequence[Proposal]) -> None:
    exists = model in cmd.get_names("objects")
    others = cmd.count_atoms(f"%{model} and not {_own(result)}") if exists else 0
    if not others:
        if accepted:
            load_atoms(cmd, model, *_residues(result, accepted, {}))
            _show(cmd, model)
            cmd.group(result.name, model, quiet=1)
            move(cmd, result, model)
        elif exists:
            cmd.delete(model)
    else:
        cmd.remove(f"%{model} and {_own(result)}")
        if accepted:
            images = _placed(cmd, result, model, accepted)
            temporary = cmd.get_unused_name("_edseg")
            slots = result.completion.slots if result.completion and result.completion.model == model else {}
            load_atoms(cmd, temporary, *_residues(result, accepted, images, _free_chain(cmd, model), slots))
            _show(cmd, temporary)
            _join_segments(cmd, model, temporary)
            cmd.copy_to(model, temporary, rename="", zoom=0, quiet=1)
            cmd.delete(temporary)
            _join_chains(cmd, model, [slots[p.id] for p in accepted if p.id in slots])
    # Files without a crystal have no cell, or one of 1 Å.
    if accepted and not (others and (cmd.get_symmetry(model) or [1.0])[0] != 1.0):
        cmd.set_symmetry(model, *result.data.cell, pymol_symbol(result.data.spacegroup), quiet=1)


def _join_segments(cmd: Any, model: str, new: str) -> None:
    """Give new residues of a chain the segment identifier that the chain has, so that they are sorted into it."""
    segments: dict[str, str] = {}
    cmd.iterate(f"%{model} and name CA", "segments[chain] = segi", space={"segments": segments})
    cmd.alter(f"%{new}", "segi = segments.get(chain, '')", space={"segments": segments})


def _join_chains(cmd: Any, model: str, slots: Sequence[tuple[str, int]]) -> None:
    """Bond residues that fill a gap to what stands beside it."""
    for chain, number in slots:
        for before in (number - 1, number):
            first = f"%{model} and chain '{chain}' and resi {before} and name C"
            second = f"%{model} and chain '{chain}' and resi {before + 1} and name N"
            ends = [cmd.get_coords(atom, 1) for atom in (first, second)]
            if all(xyz is not None and len(xyz) == 1 for xyz in ends) and math.dist(ends[0][0], ends[1][0]) < _BOND:
                cmd.bond(first, second)


def _residues(
    result: Result,
    accepted: Sequence[Proposal],
    images: Mapping[int, Image],
    chain: str = "",
    slots: Mapping[int, tuple[str, int]] = MappingProxyType({}),
) -> tuple[list[Any], list[tuple[int, int, int]]]:
    """Return the atoms of accepted residues, and the bonds between them.

    Parameters
    ----------
    accepted
        The proposals in the order of their acceptance.
    images
        The symmetry copies that they are to be, by their ids; where there is none, they are in their own place.
    chain
        Name of the chain, for those without a slot; by default A, and what follows it when a chain is full.
    slots
        Chains and numbers of those that fill a gap.
    """
    names = result.identities()
    voted = any(p.atoms for p in accepted)
    numbers = residue_numbers(result.stretches, [p.id for p in accepted]) if voted else {}
    geometry = {p.id: result.residue(p.id, images.get(p.id)) for p in accepted}
    links = _links(result, geometry)
    for before, after in links:
        geometry[before] = turn_oxygen(geometry[before], geometry[after])
    atoms: list[Any] = []
    index: dict[tuple[int, str], int] = {}
    for p in sorted(accepted, key=lambda p: (slots.get(p.id, ("~", 0)), numbers.get(p.id, p.id))):
        for made in residue_atoms(p, names[p.id], geometry[p.id]):
            made.custom = result.name
            if p.id in slots:
                made.chain, made.resi_number = slots[p.id]
                made.resi = str(made.resi_number)
            elif p.id in numbers:
                part, number = divmod(numbers[p.id] - 1, _RESIDUES_PER_CHAIN)
                made.chain, made.resi, made.resi_number = _CHAINS[part % len(_CHAINS)], str(number + 1), number + 1
            if p.id not in slots:
                made.chain = chain or made.chain
            index[p.id, made.name] = len(atoms)
            atoms.append(made)
    inner = (((p.id, first), (p.id, second), order) for p in accepted for first, second, order in BONDS)
    bonds = [*inner, *(((before, "C"), (after, "N"), 1) for before, after in links)]
    return atoms, [(index[a], index[b], order) for a, b, order in bonds if a in index and b in index]


def residue_atoms(proposal: Proposal, identity: str, geometry: Mapping[str, Position]) -> list[Any]:
    """Return the atoms of a residue at these places."""
    atoms = []
    for name, xyz in geometry.items():
        if name != "CB" or identity != "GLY":
            made = atom(proposal, identity)
            made.name, made.symbol, made.coord = name, name[0], list(xyz)
            atoms.append(made)
    return atoms


def _links(result: Result, geometry: Mapping[int, Mapping[str, Position]]) -> list[tuple[int, int]]:
    """Return the pairs of residues with a peptide bond between them, where they are now."""
    pairs = (pair for stretch in result.stretches for pair in itertools.pairwise(stretch))
    both = ((before, after) for before, after in pairs if before in geometry and after in geometry)
    return [(a, b) for a, b in both if math.dist(geometry[a]["C"], geometry[b]["N"]) < _BOND]


def _placed(cmd: Any, result: Result, model: str, accepted: Sequence[Proposal]) -> dict[int, Image]:
    """Return the symmetry copies that accepted residues have in a model; what was placed before stays."""
    before = result.placed.get(model, {})
    images = {p.id: before[p.id] for p in accepted if p.id in before}
    built = _built(cmd, model, result, accepted)
    built += [result.crystal.move(images[p.id], p.anchor) for p in accepted if p.id in images]
    known = Neighbours(result.crystal, built, NEIGHBOUR)
    actions = result.journal.accepted()
    # Action by action, so that it is the same if all are placed anew, as after a session was loaded.
    for _, group in itertools.groupby((p for p in accepted if p.id not in before), key=lambda p: actions[p.id]):
        images |= nearest_images(result, list(group), known)
    result.placed[model] = images
    return images


def nearest_images(result: Result, proposals: Sequence[Proposal], known: Neighbours) -> dict[int, Image]:
    """Return the symmetry copies of proposals that are nearest to what is known to be built, and add them to that.

    What is placed counts as built, and the nearest comes first, so that a part that is missing stays whole: a
    neighbour in the chain lies where a residue votes for it. Where nothing is near, the first of the proposals is next.
    """
    crystal, anchors = result.crystal, {p.id: p.anchor for p in proposals}
    probes = {p.id: [p.anchor, *(p.atoms[name] for name in (NEXT, PREVIOUS) if name in p.atoms)] for p in proposals}
    ids = list(anchors)
    others = Neighbours(crystal, anchors.values(), NEIGHBOUR)
    heap = [(contact, number) for number in ids for probe in probes[number] if (contact := known.within(probe))]
    heapq.heapify(heap)
    images: dict[int, Image] = {}
    while len(images) < len(ids):
        if heap:
            contact, number = heapq.heappop(heap)
        else:
            number = next(number for number in ids if number not in images)
            contact = known.nearest(anchors[number]) or Contact(0.0, 0)
        if number in images:
            continue
        images[number] = contact.image
        known.add(crystal.move(contact.image, anchors[number]))
        for probe in probes[number]:
            for found in others.contacts(crystal.move(contact.image, probe)):
                if (near := ids[found.other]) not in images:
                    back = crystal.inverse(found.image)
                    heapq.heappush(heap, (Contact(found.distance, 0, back), near))
    return images


def _show(cmd: Any, model: str) -> None:
    cmd.hide("everything", model)
    cmd.show("spheres", f"%{model} and not bonded")
    cmd.show("sticks", model)
    elements = {"N": cmd.get_color_index("nitrogen"), "O": cmd.get_color_index("oxygen")}
    colors = {name: cmd.get_color_index(f"edseg_{file_name(class_of(name))}") for name in NAMES}
    space = {"colors": colors, "elements": elements}
    cmd.alter(model, "s.sphere_scale, color = 0.45, elements.get(elem, colors[resn])", space=space)
    cmd.recolor(model)


def _free_chain(cmd: Any, model: str) -> str:
    used = set(cmd.get_chains(f"%{model}"))
    return next((name for name in _CHAINS if name not in used), "x")


def already_built(cmd: Any, result: Result, model: str, proposals: Sequence[Proposal]) -> set[int]:
    """Return the ids of the proposals that a model has a residue for, in place or at a copy by symmetry.

    Atoms that the result put there do not count.
    """
    built = Neighbours(result.crystal, _built(cmd, model, result, proposals), SAME)
    return {p.id for p in proposals if built.within(p.anchor)}


def _built(cmd: Any, model: str, result: Result, proposals: Sequence[Proposal]) -> list[Position]:
    return [place for _, place in built_residues(cmd, model, result, proposals)]


def built_residues(
    cmd: Any, model: str, result: Result, proposals: Sequence[Proposal]
) -> list[tuple[tuple[str, int], Position]]:
    """Return the residues (chain, number) of a model that are not of the result, and where they are (Å).

    The place is what the anchors of the proposals compare with: of CA, or of the centroid.
    """
    atoms: dict[tuple[str, int, str], dict[str, Position]] = defaultdict(dict)
    where = f"%{model} and not {_own(result)} and not solvent and not hydro"
    cmd.iterate_state(1, where, "atoms[chain, resv, segi + resi][name] = (x, y, z)", space={"atoms": atoms})
    voted = any(p.atoms for p in proposals)
    places: list[tuple[tuple[str, int], Position]] = []
    for (chain, number, _), named in atoms.items():
        x, y, z = (math.fsum(axis) / len(named) for axis in zip(*named.values(), strict=True))
        places.append(((chain, number), named["CA"] if voted and "CA" in named else (x, y, z)))
    return places
