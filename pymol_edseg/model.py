"""Accepted residues in model objects of PyMOL.

An accepted residue is one pseudo-atom at its centroid; `residue_atoms` is the one place to change when whole residues
are fitted. The atoms of a result carry its name as segment identifier: so they are found again in any object.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymol_edseg.journal import ACCEPTED
from pymol_edseg.objects import atom, load_atoms, move
from pymol_edseg.palette import NAMES, class_of, file_name, pdb_name
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result

#: A residue whose centroid lies nearer (Å) to that of a proposal, or of a copy by symmetry, is the same one.
SAME = 2.0
_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

Position = tuple[float, float, float]


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
    copies = _Crystal(cell, spacegroup).hashed(centroids)
    return {p.id for p in proposals if copies.near(p.position)}


class _Crystal:
    """Positions modulo the symmetry of a crystal, in cells of a few Å that are quick to look up."""

    def __init__(self, cell: Sequence[float], spacegroup: str) -> None:
        from pymol import xray

        a, b, c = cell[:3]
        cos_a, cos_b, cos_g = (math.cos(math.radians(x)) for x in cell[3:])
        sin_g = math.sin(math.radians(cell[5]))
        v = math.sqrt(max(1e-12, 1 - cos_a**2 - cos_b**2 - cos_g**2 + 2 * cos_a * cos_b * cos_g))
        self.orthogonal = (
            (a, b * cos_g, c * cos_b),
            (0.0, b * sin_g, c * (cos_a - cos_b * cos_g) / sin_g),
            (0.0, 0.0, c * v / sin_g),
        )
        # R 3:H and R 3:R are H 3 and R 3 in PyMOL.
        name = spacegroup.replace(":R", "")
        name = "H" + name[1:].replace(":H", "") if name.endswith(":H") else name
        self.operations: list[Any] = xray.sg_sym_to_mat_list(name) or xray.sg_sym_to_mat_list("P 1")
        self.counts = tuple(max(1, int(length / SAME)) for length in self._spacings(cell, v))
        self.buckets: dict[tuple[int, ...], list[Position]] = defaultdict(list)

    @staticmethod
    def _spacings(cell: Sequence[float], v: float) -> tuple[float, ...]:
        """Return the distances (Å) of the lattice planes that bound the cell."""
        return tuple(cell[i] * v / math.sin(math.radians(cell[3 + i])) for i in range(3))

    def fractional(self, position: Sequence[float]) -> Position:
        (ax, bx, cx), (_, by, cy), (_, _, cz) = self.orthogonal
        w = position[2] / cz
        v = (position[1] - cy * w) / by
        return (position[0] - bx * v - cx * w) / ax, v, w

    def hashed(self, positions: Iterable[Sequence[float]]) -> _Crystal:
        """Store all copies of positions (Å) and return self."""
        for position in positions:
            uvw = (*self.fractional(position), 1.0)
            for op in self.operations:
                copy = tuple(math.fsum(r * x for r, x in zip(row, uvw, strict=True)) % 1.0 for row in op[:3])
                self.buckets[self._bucket(copy)].append((copy[0], copy[1], copy[2]))
        return self

    def _bucket(self, uvw: Sequence[float]) -> tuple[int, ...]:
        return tuple(int(x * n) % n for x, n in zip(uvw, self.counts, strict=True))

    def near(self, position: Sequence[float]) -> bool:
        """Tell whether a copy of a stored position lies within `SAME` of a position (Å)."""
        uvw = tuple(x % 1.0 for x in self.fractional(position))
        home = self._bucket(uvw)
        for step in itertools.product((-1, 0, 1), repeat=3):
            bucket = tuple((h + s) % n for h, s, n in zip(home, step, self.counts, strict=True))
            if any(self._distance(uvw, copy) < SAME for copy in self.buckets.get(bucket, ())):
                return True
        return False

    def _distance(self, one: Sequence[float], other: Sequence[float]) -> float:
        d = [(x - y) - round(x - y) for x, y in zip(one, other, strict=True)]
        return math.hypot(*(math.fsum(m * x for m, x in zip(row, d, strict=True)) for row in self.orthogonal))


def identities(result: Result) -> Mapping[int, str]:
    """Return the identity of every proposal: the user's where there is one, else the rank-1 class."""
    decisions, classes = result.decisions(), result.classes()
    return {number: decision.identity or classes[number] for number, decision in decisions.items()}
