"""Docked chains as coordinates."""

from __future__ import annotations

import gemmi

from edseg_engine.building.copies import Chain
from edseg_engine.building.dock import Docking
from edseg_engine.building.records import BACKBONE, FloatArray, Model, N
from edseg_engine.crystal.symmetry import Symmetry

#: A chain has one letter as far as they go, then two.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: B-factor (Å²) that atoms begin with.
_B_FACTOR = 30.0


def chain_name(number: int) -> str:
    """Return the name of the chain with this number, counted from 0."""
    first, second = divmod(number, len(_LETTERS))
    return _LETTERS[second] if first == 0 else _LETTERS[first - 1] + _LETTERS[second]


def residue_name(letter: str) -> str:
    """Return the residue name of a one-letter code; an unknown residue is an alanine."""
    return gemmi.expand_one_letter(letter, gemmi.ResidueKind.AA) or "ALA"


def to_model(docking: Docking) -> Model:
    """Return the main chain and CB of the docked residues, named and numbered from 1 as in their sequences."""
    model = gemmi.Model(1)
    sequences, probability = {}, {}
    for number, chain in enumerate(docking.chains):
        name = chain_name(number)
        sequences[name] = docking.sequences[chain.sequence]
        model.add_chain(_chain(chain, name, sequences[name]))
        for piece in chain.pieces:
            for place, value in enumerate(piece.probability.tolist(), piece.place):
                probability[name, place + 1] = value
    return Model(crystal_structure(model, docking.symmetry), sequences, probability)


def crystal_structure(model: gemmi.Model, symmetry: Symmetry) -> gemmi.Structure:
    """Return a structure with the cell and the space group of `symmetry`."""
    structure = gemmi.Structure()
    structure.name = "edseg"
    structure.cell = symmetry.cell
    structure.spacegroup_hm = symmetry.spacegroup.xhm()
    structure.add_model(model)
    structure.setup_entities()
    return structure


def _chain(chain: Chain, name: str, sequence: str) -> gemmi.Chain:
    result = gemmi.Chain(name)
    for piece in chain.pieces:
        for place, atoms in enumerate(piece.fragment.atoms, piece.place):
            result.add_residue(backbone_residue(residue_name(sequence[place]), place + 1, atoms))
    return result


def backbone_residue(name: str, number: int, atoms: FloatArray) -> gemmi.Residue:
    """Return a residue of the atoms (5, 3) N, CA, C, O and CB, which glycines lack."""
    residue = gemmi.Residue()
    residue.name = name
    residue.seqid = gemmi.SeqId(number, " ")
    residue.entity_type = gemmi.EntityType.Polymer
    for atom_name, position in zip(BACKBONE, atoms.tolist(), strict=True):
        if atom_name == "CB" and name == "GLY":
            continue
        atom = gemmi.Atom()
        atom.name = atom_name
        atom.element = gemmi.Element("N" if atom_name == BACKBONE[N] else atom_name[0])
        atom.pos = gemmi.Position(*position)
        atom.b_iso = _B_FACTOR
        residue.add_atom(atom)
    return residue
