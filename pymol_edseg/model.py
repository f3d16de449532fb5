"""Accepted residues in model objects of PyMOL.

An accepted residue is one pseudo-atom at its centroid; `residue_atoms` is the one place to change when whole residues
are fitted. The atoms of a result carry its name as custom property: so they are found again in any object.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pymol_edseg.crystal import Crystal, Neighbours, Position, pymol_symbol
from pymol_edseg.journal import ACCEPTED
from pymol_edseg.objects import atom, load_atoms, move
from pymol_edseg.palette import NAMES, class_of, file_name, pdb_name
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result

#: A residue whose centroid lies nearer (Å) to that of a proposal, or of a copy by symmetry, is the same one.
SAME = 2.0
#: Centroids of neighbours along a chain are at most about this far apart (Å).
_NEIGHBOUR = 7.5
_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def residue_atoms(proposal: Proposal, identity: str) -> list[Any]:
    """Return the atoms of an accepted residue."""
    return [atom(proposal, pdb_name(identity))]


def update_models(cmd: Any, result: Result, before: Iterable[str] = ()) -> None:
    """Make the model objects hold the accepted residues of a result, and no others of its own.

    Parameters
    ----------
    before
        Models that held residues of the result until now.
    """
    decisions, identities = result.decisions(), result.identities()
    wanted: dict[str, list[Any]] = defaultdict(list)
    for proposal in result.proposals:
        decision = decisions[proposal.id]
        if decision.status == ACCEPTED:
            atoms = residue_atoms(proposal, identities[proposal.id])
            wanted[decision.model or model_name(result)] += atoms
    for model in {*before, *wanted}:
        _replace_atoms(cmd, result, model, wanted.get(model, []))


def model_name(result: Result) -> str:
    """Return the model that accepted residues go to unless the user names another."""
    return f"{result.name}_model"


def _own(result: Result) -> str:
    """Return the selection of the atoms of a result; earlier versions wrote its name into the segment identifier."""
    return f"(custom {result.name} or segi {result.name})"


def _replace_atoms(cmd: Any, result: Result, model: str, atoms: list[Any]) -> None:
    exists = model in cmd.get_names("objects")
    others = cmd.count_atoms(f"%{model} and not {_own(result)}") if exists else 0
    for made in atoms:
        made.custom = result.name
    if not others:
        if atoms:
            load_atoms(cmd, model, atoms)
            cmd.set_symmetry(model, *result.data.cell, pymol_symbol(result.data.spacegroup), quiet=1)
            _show(cmd, model)
            cmd.group(result.name, model, quiet=1)
            move(cmd, result, model)
        elif exists:
            cmd.delete(model)
        return
    cmd.remove(f"%{model} and {_own(result)}")
    if not atoms:
        return
    chain = _free_chain(cmd, model)
    built = Neighbours(_crystal(result), _centroids(cmd, model, result), _NEIGHBOUR)
    for made in atoms:
        made.chain, made.coord = chain, list(built.nearest(made.coord))
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


def already_built(cmd: Any, result: Result, model: str, proposals: Sequence[Proposal]) -> set[int]:
    """Return the ids of the proposals that a model has a residue for, in place or at a copy by symmetry.

    Atoms that the result put there do not count. A map without crystal has the space group P 1.
    """
    built = Neighbours(_crystal(result), _centroids(cmd, model, result), SAME)
    return {p.id for p in proposals if built.within(p.position)}


def _crystal(result: Result) -> Crystal:
    return Crystal(result.data.cell, result.data.spacegroup)


def _centroids(cmd: Any, model: str, result: Result) -> list[Position]:
    """Return the centroids (Å) of the residues of a model that are not of the result."""
    atoms: dict[tuple[str, str, str], list[Position]] = defaultdict(list)
    where = f"%{model} and not {_own(result)} and not solvent and not hydro"
    cmd.iterate_state(1, where, "atoms[segi, chain, resi].append((x, y, z))", space={"atoms": atoms})
    means = ([math.fsum(axis) / len(xyz) for axis in zip(*xyz, strict=True)] for xyz in atoms.values())
    return [(x, y, z) for x, y, z in means]
