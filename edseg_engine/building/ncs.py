"""What one copy of a chain has and another lacks (non-crystallographic symmetry).

A stretch is carried over by the superposition of what lies around it in both copies. Whether it is there is for the map
to say: `edseg_engine.building.coot_engine.build_atoms` removes what has no density.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import gemmi
from scipy.spatial import cKDTree

from edseg_engine.building.neighbours import Neighbours, ca_of
from edseg_engine.building.records import Address, Model, stretches
from edseg_engine.crystal.symmetry import Symmetry

#: So many residues that lie nearest to a stretch are superposed, at least so many, to at most this deviation (Å).
_AROUND, _FEWEST, _ALIKE = 20, 8, 1.5
#: Two CA nearer than this (Å) cannot both exist.
_CLASH = 2.8
_SUPERPOSED = ("N", "CA", "C")

Residues = Mapping[int, gemmi.Residue]


def with_copies(model: Model, symmetry: Symmetry) -> tuple[Model, frozenset[Address]]:
    """Return the model with what its chains can take over from each other, and which residues these are.

    Only chains of the same sequence are copies. Nothing comes into the way of what is there, or of itself, symmetry
    copies included.
    """
    chains: dict[str, dict[int, gemmi.Residue]] = {name: {} for name in model.sequences}
    for (name, number), residue in model.residues.items():
        chains[name][number] = residue
    new: dict[Address, gemmi.Residue] = {}
    probability = dict(model.probability)
    for name, ours in chains.items():
        copies = [c for c in chains if c != name and model.sequences[c] == model.sequences[name]]
        for other in sorted(copies, key=lambda c: -len(chains[c])):
            theirs = chains[other]
            occupied = Neighbours(map(ca_of, (*model.residues.values(), *new.values())), symmetry)
            for stretch in stretches(sorted(set(theirs) - set(ours) - {n for c, n in new if c == name})):
                carried = _carried_over(theirs, ours, stretch)
                own = Neighbours((ca_of(residue) for _, residue in carried), symmetry)
                for number, residue in carried:
                    place = ca_of(residue)
                    if not occupied.near(place, _CLASH) and not own.copy_near(place, _CLASH):
                        new[name, number] = residue
                        probability[name, number] = model.probability.get((other, number), 0.0)
    if not new:
        return model, frozenset()
    structure = model.structure.clone()
    for name in {name for name, _ in new}:
        chain = structure[0][name]
        residues = {**chains[name], **{number: residue for (c, number), residue in new.items() if c == name}}
        copies_of = [residues[number].clone() for number in sorted(residues)]
        del chain[:]
        for residue in copies_of:
            chain.add_residue(residue)
    structure.setup_entities()
    return replace(model, structure=structure, probability=probability), frozenset(new)


def _carried_over(theirs: Residues, ours: Residues, stretch: list[int]) -> list[tuple[int, gemmi.Residue]]:
    """Return the residues of a stretch of one copy where they would be in the other; none if these differ there."""
    tree = cKDTree([ca_of(theirs[number]) for number in stretch])
    common = [number for number in theirs if number in ours]
    common = sorted(common, key=lambda number: float(tree.query(ca_of(theirs[number]))[0]))[:_AROUND]
    if len(common) < _FEWEST:
        return []
    fixed, moving = ([r[n].find_atom(a, "*").pos for n in common for a in _SUPERPOSED] for r in (ours, theirs))
    found = gemmi.superpose_positions(fixed, moving)
    if found.rmsd > _ALIKE:
        return []
    result = []
    for number in stretch:
        residue = theirs[number].clone()
        for atom in residue:
            atom.pos = gemmi.Position(found.transform.apply(atom.pos))
        result.append((number, residue))
    return result
