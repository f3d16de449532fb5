"""Backbone votes as a network would give them, drawn from known chains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.building.records import BackboneResidues
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.io.coordinates import read_model
from edseg_engine.labels import N_LABELS, label_of_letter, label_of_residue

#: Coefficients of the virtual CB: of the cross product of N-CA and CA-C, and of these.
_VIRTUAL_CB = (-0.58273431, 0.56802827, -0.54067466)


@dataclass(frozen=True, eq=False)
class KnownChains:
    """The truth: atoms (n, 5, 3) in Å, classes (n,), chain (n,) and place in the sequence (n,) from 0, sequences."""

    atoms: NDArray[np.float64]
    labels: NDArray[np.intp]
    chain: NDArray[np.intp]
    place: NDArray[np.intp]
    sequences: tuple[str, ...]
    symmetry: Symmetry

    def __len__(self) -> int:
        return len(self.atoms)

    def bonded(self, i: int, j: int) -> bool:
        """Return whether residue j follows residue i."""
        return bool(j == i + 1 and self.chain[i] == self.chain[j] and self.place[j] == self.place[i] + 1)


def known_chains(path: Path) -> KnownChains:
    """Return the protein chains of a model; their sequences are of the residues that the model has."""
    structure = read_model(path)
    structure.setup_entities()
    structure.remove_alternative_conformations()
    atoms, labels, chains, places, sequences = [], [], [], [], []
    for chain in structure[0]:
        letters = ""
        for residue in chain.get_polymer():
            label = label_of_residue(residue.name)
            found = [residue.find_atom(name, "*") for name in ("N", "CA", "C", "O")]
            if label is None or None in found:
                continue
            n, ca, c, o = (np.array(atom.pos.tolist()) for atom in found)
            cb = residue.find_atom("CB", "*")
            a, b, d = _VIRTUAL_CB
            virtual = ca + a * np.cross(ca - n, c - ca) + b * (ca - n) + d * (c - ca)
            atoms.append([n, ca, c, o, virtual if cb is None else np.array(cb.pos.tolist())])
            labels.append(label)
            chains.append(len(sequences))
            places.append(len(letters))
            letters += gemmi.find_tabulated_residue(residue.name).one_letter_code.upper()
        if letters:
            sequences.append(letters)
    symmetry = Symmetry(structure.cell, gemmi.SpaceGroup(structure.spacegroup_hm))
    return KnownChains(
        np.array(atoms), np.array(labels), np.array(chains), np.array(places), tuple(sequences), symmetry
    )


def twice(known: KnownChains, second: str | None = None) -> KnownChains:
    """Return two copies of a single chain in a cell of symmetry P 1 21 1, the other with the sequence `second`."""
    angle = 2.0
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    centred = known.atoms - known.atoms[:, 1].mean(0)
    size = float(np.ptp(centred[:, 1], axis=0).max()) + 6
    atoms = np.concatenate([centred, centred @ turn.T + [size, 0.0, 5.0]])
    letters = second or known.sequences[0]
    other = np.array([label_of_letter(letters[place]) for place in known.place])
    cell = gemmi.UnitCell(2 * size, 2 * size, size + 12, 90, 100, 90)
    return KnownChains(
        atoms,
        np.concatenate([known.labels, other]),
        np.repeat([0, 1], len(known)),
        np.tile(known.place, 2),
        (known.sequences[0], letters),
        Symmetry(cell, gemmi.SpaceGroup("P 1 21 1")),
    )


def votes(
    known: KnownChains,
    rng: np.random.Generator,
    *,
    rms: float = 0.5,
    rank1: float = 0.9,
    lost: float = 0.05,
    false: float = 0.03,
    reverse: int = 3,
    neighbours: bool = True,
) -> tuple[BackboneResidues, NDArray[np.intp]]:
    """Return votes in random symmetry copies and random order, and the index of the true residue (-1: false) of each.

    Parameters
    ----------
    rms
        Error of an atom in Å.
    rank1
        About how often the most probable class is the true one.
    lost, false
        Fractions of residues that are missing, and that are added in random places.
    reverse
        Number of residues whose N and C are exchanged.
    neighbours
        Whether there are votes for the next and the previous CA.
    """
    atoms, n = known.atoms, len(known)
    error = rms / np.sqrt(3)
    following = np.concatenate([atoms[1:, 1], atoms[-1:, 1]]) + rng.normal(0, error, (n, 3))
    preceding = np.concatenate([atoms[:1, 1], atoms[:-1, 1]]) + rng.normal(0, error, (n, 3))
    moved = atoms + rng.normal(0, error, atoms.shape)
    turned = rng.choice(n, min(reverse, n), replace=False)
    moved[turned] = moved[turned][:, [2, 1, 0, 3, 4]]
    following[turned], preceding[turned] = preceding[turned], following[turned]
    confusion = np.log(np.full((N_LABELS, N_LABELS), (1 - rank1) / (N_LABELS - 1)) + np.eye(N_LABELS) * rank1)
    logits = confusion[known.labels] + 1.6 * rng.normal(size=(n, N_LABELS))
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(1, keepdims=True)
    kept = np.flatnonzero(rng.random(n) >= lost)
    extra = rng.choice(n, round(false * n), replace=False)
    # A false residue lies somewhere near the protein and looks like anything.
    ghosts = atoms[extra] + 4.0 * rng.normal(size=(len(extra), 1, 3)) + rng.normal(0, rms, (len(extra), 5, 3))
    points = np.concatenate([moved, following[:, None], preceding[:, None]], 1)[kept]
    ghost_neighbours = ghosts[:, 1:2] + 2.2 * rng.normal(size=(len(extra), 2, 3))
    points = np.concatenate([points, np.concatenate([ghosts, ghost_neighbours], 1)])
    k = len(points)
    operation, shift = rng.integers(len(known.symmetry), size=k), rng.integers(-1, 2, (k, 3))
    points = np.stack([known.symmetry.apply(points[:, a], operation, shift) for a in range(7)], 1)
    probabilities = np.concatenate([probabilities[kept], rng.dirichlet(np.full(N_LABELS, 0.3), len(extra))])
    confidence = np.concatenate([rng.uniform(0.5, 1, len(kept)), rng.uniform(0.2, 0.8, len(extra))])
    order = rng.permutation(k)
    residues = BackboneResidues(
        points[order, :5],
        probabilities[order],
        confidence[order],
        known.symmetry,
        points[order, 5] if neighbours else None,
        points[order, 6] if neighbours else None,
    )
    return residues, np.concatenate([kept, np.full(len(extra), -1)])[order]
