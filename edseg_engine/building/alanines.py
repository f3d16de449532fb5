"""Stretches of chain without a sure place in the sequence: they stay in the model as alanines.

Their main chain is mostly right, and what is in the model makes its phases better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from edseg_engine.building.coordinates import backbone_residue, chain_name
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
    numbers = [int(residue.seqid.num or 0) for residue in chain if residue.find_atom("CA", "C")]
    positions, others = _ca([chain]), _ca(model)
    if not numbers:
        return set()
    near = np.zeros(len(numbers), bool)
    if len(others):
        images = symmetry.images_in_box(others, positions.min(0) - _CLASH, positions.max(0) + _CLASH)
        if len(images):
            near = cKDTree(images.positions).query(positions)[0] < _CLASH
    runs = stretches(number for number, clashes in zip(numbers, near, strict=True) if not clashes)
    return {number for run in runs if len(run) >= _SHORTEST for number in run}


def _ca(chains: Iterable[gemmi.Chain]) -> FloatArray:
    found = [residue.find_atom("CA", "C") for chain in chains for residue in chain]
    return np.array([atom.pos.tolist() for atom in found if atom], dtype=np.float64).reshape(-1, 3)
