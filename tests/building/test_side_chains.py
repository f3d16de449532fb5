"""Side chains are turned about their bonds, and about nothing else."""

from __future__ import annotations

from itertools import combinations

import gemmi
import numpy as np
import pytest

from edseg_engine.building.side_chains import conformations, side_chain_atoms
from edseg_engine.residues.conformers import atoms_by_name


def residues_of(structure: gemmi.Structure, name: str) -> list[dict[str, np.ndarray]]:
    found = [residue for residue in structure[0]["A"] if residue.name == name]
    return [{n: np.array(atom.pos.tolist()) for n, atom in atoms_by_name(residue).items()} for residue in found]


@pytest.mark.parametrize("name", ["ARG", "ILE", "LEU", "MET", "THR", "TRP", "TYR"])
def test_the_density_of_a_side_chain_is_found_from_another_conformation(
    crystal_model: gemmi.Structure, name: str
) -> None:
    atoms = max(residues_of(crystal_model, name), key=len)
    moving = side_chain_atoms(name, atoms)
    true = np.stack([atoms[atom] for atom in moving])

    def density(positions: np.ndarray) -> np.ndarray:
        return np.exp(-((positions[:, None] - true) ** 2).sum(-1)).max(1)

    other = {**atoms, **conformations(name, atoms, lambda x: -density(x))[0]}
    assert density(np.stack([other[atom] for atom in moving])).mean() < 0.5
    best = conformations(name, other, density)[0]
    assert density(np.stack([best[atom] for atom in moving])).mean() > 0.85
    for first, second in combinations([a for a in atoms if a != "OXT"], 2):
        before, after = (np.linalg.norm(x[first] - x[second]) for x in (atoms, {**atoms, **best}))
        if before < 1.7:  # bonds, those to the main chain among them
            assert after == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("name", ["GLY", "ALA", "CYS", "PRO"])
def test_some_side_chains_are_not_turned(crystal_model: gemmi.Structure, name: str) -> None:
    atoms = residues_of(crystal_model, "LEU")[0]
    assert side_chain_atoms(name, atoms) == []
    assert conformations(name, atoms, lambda x: x[:, 0]) == []
    assert conformations("LEU", {k: v for k, v in atoms.items() if k != "CG"}, lambda x: x[:, 0]) == []
