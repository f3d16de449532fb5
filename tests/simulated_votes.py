"""Backbone votes as a network would give them, drawn from a deposited model."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.building.records import BackboneResidues
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.io.coordinates import read_model
from edseg_engine.labels import N_LABELS, label_of_residue


def main_chain(path: Path) -> tuple[gemmi.Structure, NDArray[np.float64], NDArray[np.intp], list[tuple[str, int]]]:
    """Return the model, atoms (n, 5, 3), classes (n,) and (chain, position in the polymer) of its residues."""
    structure = read_model(path)
    structure.setup_entities()
    structure.remove_alternative_conformations()
    atoms, labels, places = [], [], []
    for chain in structure[0]:
        for number, residue in enumerate(chain.get_polymer()):
            label = label_of_residue(residue.name)
            found = [residue.find_atom(name, "*") for name in ("N", "CA", "C", "O")]
            if label is None or None in found:
                continue
            n, ca, c, o = (np.array(atom.pos.tolist()) for atom in found)
            cb = residue.find_atom("CB", "*")
            virtual = ca - 0.58273431 * np.cross(ca - n, c - ca) + 0.56802827 * (ca - n) - 0.54067466 * (c - ca)
            atoms.append([n, ca, c, o, virtual if cb is None else np.array(cb.pos.tolist())])
            labels.append(label)
            places.append((chain.name, residue.label_seq or residue.seqid.num or number))
    return structure, np.array(atoms), np.array(labels), places


def votes(
    path: Path,
    rng: np.random.Generator,
    *,
    rms: float = 0.5,
    rank1: float = 0.9,
    lost: float = 0.05,
    false: float = 0.03,
    reversed_: int = 3,
    neighbours: bool = False,
) -> tuple[BackboneResidues, NDArray[np.intp]]:
    """Return votes and the index of the true residue (-1: false) of each.

    Parameters
    ----------
    rms
        Error of an atom in Å.
    rank1
        How often the most probable class is the true one.
    lost, false
        Fractions of residues that are missing, and that are added in random places.
    reversed_
        Number of residues whose N and C are exchanged.
    neighbours
        Whether there are votes for the next and the previous CA.
    """
    structure, atoms, labels, _ = main_chain(path)
    symmetry = Symmetry(structure.cell, gemmi.SpaceGroup(structure.spacegroup_hm))
    n = len(atoms)
    following = np.concatenate([atoms[1:, 1], atoms[-1:, 1]]) + rng.normal(0, rms / np.sqrt(3), (n, 3))
    preceding = np.concatenate([atoms[:1, 1], atoms[:-1, 1]]) + rng.normal(0, rms / np.sqrt(3), (n, 3))
    moved = atoms + rng.normal(0, rms / np.sqrt(3), atoms.shape)
    flipped = rng.choice(n, min(reversed_, n), replace=False)
    moved[flipped] = moved[flipped][:, [2, 1, 0, 3, 4]]
    following[flipped], preceding[flipped] = preceding[flipped], following[flipped]
    confusion = np.log(np.full((N_LABELS, N_LABELS), (1 - rank1) / (N_LABELS - 1)) + np.eye(N_LABELS) * rank1)
    logits = confusion[labels] + 1.6 * rng.normal(size=(n, N_LABELS))
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(1, keepdims=True)
    kept = np.flatnonzero(rng.random(n) >= lost)
    extra = rng.choice(n, round(false * n), replace=False)
    # A false residue lies somewhere near the protein and looks like anything.
    ghosts = atoms[extra] + 4.0 * rng.normal(size=(len(extra), 1, 3)) + rng.normal(0, rms, (len(extra), 5, 3))
    all_atoms = np.concatenate([moved[kept], ghosts])
    all_neighbours = [
        np.concatenate([a[kept], ghosts[:, 1] + 2.2 * rng.normal(size=(len(extra), 3))]) for a in (following, preceding)
    ]
    k = len(all_atoms)
    operation = rng.integers(len(symmetry), size=k)
    shift = rng.integers(-1, 2, (k, 3))

    def copies(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        return symmetry.apply(xyz, operation, shift)

    result = BackboneResidues(
        np.stack([copies(all_atoms[:, a]) for a in range(5)], 1),
        np.concatenate([probabilities[kept], rng.dirichlet(np.full(N_LABELS, 0.3), len(extra))]),
        np.concatenate([rng.uniform(0.5, 1, len(kept)), rng.uniform(0.2, 0.8, len(extra))]),
        symmetry,
        *(copies(a) if neighbours else None for a in all_neighbours),
    )
    order = rng.permutation(k)
    truth = np.concatenate([kept, np.full(len(extra), -1)])
    return (
        BackboneResidues(
            result.atoms[order],
            result.probabilities[order],
            result.confidence[order],
            symmetry,
            None if result.next_ca is None else result.next_ca[order],
            None if result.previous_ca is None else result.previous_ca[order],
        ),
        truth[order],
    )
