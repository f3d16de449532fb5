"""Stretches of chain without a sure place in the sequence: they stay in the model as alanines.

Their main chain is mostly right, and what is in the model makes its phases better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import gemmi

from edseg_engine.building.coordinates import backbone_residue, chain_name
from edseg_engine.building.neighbours import Neighbours, ca_of
from edseg_engine.building.records import FloatArray, Fragment, Model, stretches
from edseg_engine.crystal.symmetry import Symmetry

#: Fewest residues of a stretch.
_SHORTEST = 3
#: Two CA nearer than this (Å) cannot both exist.
_CLASH = 2.6


def as_chains(fragments: Iterable[Fragment]) -> list[gemmi.Chain]:
    """Return each fragment as a chain of alanines, numbered from 1."""
    chains = []
    for fragment in fragments:
        chain = gemmi.Chain("")
        for number, atoms in enumerate(fragment.atoms, 1):
            chain.add_residue(backbone_residue("ALA", number, atoms))
        chains.append(chain)
    return chains


def with_alanines(model: Model, chains: Iterable[gemmi.Chain]) -> Model:
    """Return the model with what of the chains is in nothing's way, under names that are free.

    Symmetry copies count. What is left of a chain may have gaps; stretches of less than three residues are left out.
    """
    structure = model.structure.clone()
    used = {chain.name for chain in structure[0]}
    free = (name for name in map(chain_name, range(10_000)) if name not in used)
    names = set(model.alanines)
    symmetry = Symmetry(structure.cell, structure.find_spacegroup())
    for chain in chains:
        numbers = _without_clashes(chain, structure[0], symmetry)
        if not numbers:
            continue
        new = gemmi.Chain(next(free))
        for residue in chain:
            if residue.seqid.num in numbers:
                new.add_residue(residue)
        structure[0].add_chain(new)
        names.add(new.name)
    structure.setup_entities()
    return replace(model, structure=structure, alanines=frozenset(names))


def without_alanines(model: Model) -> tuple[Model, list[gemmi.Chain]]:
    """Return the model of the docked chains alone, and the chains of alanines."""
    structure = model.structure.clone()
    chains = [structure[0][name].clone() for name in sorted(model.alanines)]
    for name in model.alanines:
        structure[0].remove_chain(name)
    return replace(model, structure=structure, alanines=frozenset()), chains


def _without_clashes(chain: gemmi.Chain, model: gemmi.Model, symmetry: Symmetry) -> set[int]:
    """Return the numbers of the residues to keep of a chain."""
    others = Neighbours((ca for each in model for _, ca in _places(each)), symmetry)
    runs = stretches(number for number, ca in _places(chain) if not others.near(ca, _CLASH))
    return {number for run in runs if len(run) >= _SHORTEST for number in run}


def _places(chain: gemmi.Chain) -> list[tuple[int, FloatArray]]:
    """Return the number and CA of each residue that has one: waters have none."""
    return [(int(residue.seqid.num or 0), ca_of(residue)) for residue in chain if residue.find_atom("CA", "*")]
