"""Which atoms of a residue count where a model has alternative conformations."""

from __future__ import annotations

import gemmi


def atoms_by_name(residue: gemmi.Residue) -> dict[str, gemmi.Atom]:
    """Return the atoms of a residue, without hydrogens and atoms of no occupancy; of alternative ones the first.

    The conformations may be listed atom by atom, or one after the other, which gemmi's ``first_conformer`` takes for
    one conformation with every atom twice.
    """
    atoms: dict[str, gemmi.Atom] = {}
    for atom in residue:
        if not atom.is_hydrogen() and atom.occ > 0:
            atoms.setdefault(atom.name, atom)
    return atoms
