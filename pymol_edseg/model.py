"""Accepted residues in model objects of PyMOL.

An accepted residue is one pseudo-atom at its centroid; `residue_atoms` is the one place to change when whole residues
are fitted. The atoms of a result carry its name as segment identifier: so they are found again in any object.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pymol_edseg.crystal import Crystal, Position
from pymol_edseg.journal import ACCEPTED
from pymol_edseg.objects import atom, load_atoms, move
from pymol_edseg.palette import NAMES, class_of, file_name, pdb_name
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result

_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def residue_atoms(proposal: Proposal, identity: str, segi: str) -> list[Any]:
    """Return the atoms of an accepted residue."""
    return [atom(proposal, pdb_name(identity), segi)]


def update_models(cmd: Any, result: Result, before: Iterable[str] = ()) -> None:
    """Make the model objects hold the accepted residues of a result, and no others of its own.

    Parameters
    ----------
    before
        Models that held residues of the result until now.
    """
    decisions, classes = result.decisions(), result.classes()
    wanted: dict[str, list[Any]] = defaultdict(list)
    for proposal in result.proposals:
        decision = decisions[proposal.id]
        if decision.status == ACCEPTED:
            identity = decision.identity or classes[proposal.id]
            wanted[decision.model or model_name(result)] += residue_atoms(proposal, identity, result.name)
    for model in {*before, *wanted}:
        _replace_atoms(cmd, result, model, wanted.get(model, []))


def model_name(result: Result) -> str:
    """Return the model that accepted residues go to unless the user names another."""
    return f"{result.name}_model"


def _replace_atoms(cmd: Any, result: Result, model: str, atoms: list[Any]) -> None:
    exists = model in cmd.get_names("objects")
    others = cmd.count_atoms(f"%{model} and not segi {result.name}") if exists else 0
    if not others:
        if atoms:
            load_atoms(cmd, model, atoms)
            _show(cmd, model)
            cmd.group(result.name, model, quiet=1)
            move(cmd, result, model)
        elif exists:
            cmd.delete(model)
        return
    cmd.remove(f"%{model} and segi {result.name}")
    if not atoms:
        return
    chain = _free_chain(cmd, model)
    for made in atoms:
        made.chain = chain
    temporary = cmd.get_unused_name("_edseg")
    load_atoms(cmd, temporary, atoms)
    _show(cmd, temporary)
    cmd.copy_to(model, temporary, rename="", zoom=0, quiet=1)
    cmd.delete(temporary)


def _show(cmd: Any, model: str) -> None:
    cmd.hide("everything", model)
    cmd.show("spheres", model)
    colors = {name: cmd.get_color_index(f"edseg_{file_name(class_of(name))}") for name in NAMES}
    cmd.alter(model, "s.sphere_scale, color = 0.45, colors[resn]", space={"colors": colors})
    cmd.recolor(model)


def _free_chain(cmd: Any, model: str) -> str:
    used = set(cmd.get_chains(f"%{model}"))
    return next((name for name in _CHAINS if name not in used), "x")


def already_built(
    cmd: Any, model: str, proposals: Sequence[Proposal], own: str, cell: Sequence[float], spacegroup: str
) -> set[int]:
    """Return the ids of the proposals that a model has a residue for, in place or at a copy by symmetry.

    Parameters
    ----------
    own
        Segment identifier of atoms that do not count.
    cell, spacegroup
        Of the crystal; of a map without crystal, the space group is ``"P 1"`` and copies do no harm.
    """
    atoms: dict[tuple[str, str, str], list[Position]] = defaultdict(list)
    space = {"atoms": atoms}
    where = f"%{model} and not segi {own} and not solvent and not hydro"
    cmd.iterate_state(1, where, "atoms[segi, chain, resi].append((x, y, z))", space=space)
    centroids = [tuple(math.fsum(axis) / len(xyz) for axis in zip(*xyz, strict=True)) for xyz in atoms.values()]
    copies = Crystal(cell, spacegroup).hashed(centroids)
    return {p.id for p in proposals if copies.near(p.position)}
