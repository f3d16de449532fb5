"""What was sure in one cycle stays in the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import gemmi
import numpy as np

from edseg_engine.building.coordinates import chain_name, crystal_structure
from edseg_engine.building.neighbours import Neighbours, ca_of
from edseg_engine.building.placing import Pose
from edseg_engine.building.records import Address, Model
from edseg_engine.crystal.symmetry import Symmetry

#: Two CA nearer than this (Å) are the same residue, found again; those of different residues are never so near.
_SAME, _CLASH = 1.2, 2.6
#: A residue that was not found again stays if it correlates so well with the map.
_SURE = 0.6


def merge(
    old: Model, new: Model, symmetry: Symmetry, correlation: Mapping[Address, float]
) -> tuple[Model, frozenset[Address]]:
    """Return one model of an older one and what the next map shows, and which residues are kept of the older.

    Chains are matched by sequence and place, symmetry copies included; the names are those of the older. Residues that
    were found again stay as they were. So do those that fit the density (`correlation`, by chain and number) and are
    not in the way of a new one.
    """
    fresh = new.residues
    target: dict[str, str] = {}
    placed: dict[Address, gemmi.Residue] = {}
    for name, sequence in new.sequences.items():
        ours = {number: residue for (chain, number), residue in fresh.items() if chain == name}
        other, pose = _counterpart(ours, sequence, old, symmetry, set(target.values()))
        if other is None:
            used = {*old.sequences, *target.values()}
            other = next(c for c in map(chain_name, range(10_000)) if c not in used)
        target[name] = other
        for number, residue in ours.items():
            placed[other, number] = residue if pose is None else _moved(residue, pose, symmetry)
    sequences = {**old.sequences, **{target[name]: sequence for name, sequence in new.sequences.items()}}
    before = old.residues
    found_again = {a for a, residue in placed.items() if a in before and _distance(before[a], residue) < _SAME}
    occupied = Neighbours([ca_of(residue) for a, residue in placed.items() if a not in found_again], symmetry)
    kept = found_again | {
        a
        for a, residue in before.items()
        if a not in placed and correlation.get(a, 0.0) > _SURE and not occupied.near(ca_of(residue), _CLASH)
    }
    model = gemmi.Model(1)
    probability = {}
    source = {other: name for name, other in target.items()}
    for name in sequences:
        chain = gemmi.Chain(name)
        for number in range(1, len(sequences[name]) + 1):
            address = (name, number)
            chosen = before if address in kept else placed
            if address not in chosen:
                continue
            chain.add_residue(chosen[address])
            fresh_probability = new.probability.get((source.get(name, ""), number), 0.0)
            probability[address] = max(old.probability.get(address, 0.0), fresh_probability)
        if len(chain):
            model.add_chain(chain)
    sequences = {chain.name: sequences[chain.name] for chain in model}
    return Model(crystal_structure(model, symmetry), sequences, probability), frozenset(kept)


def _counterpart(
    ours: Mapping[int, gemmi.Residue], sequence: str, old: Model, symmetry: Symmetry, taken: set[str]
) -> tuple[str | None, Pose | None]:
    """Return the older chain that most residues of a chain coincide with, and the symmetry operation to it."""
    votes: Counter[tuple[str, int, tuple[int, ...]]] = Counter()
    for (name, number), residue in old.residues.items():
        if name in taken or old.sequences[name] != sequence or number not in ours:
            continue
        position = ca_of(residue)
        images = symmetry.images_in_box(ca_of(ours[number])[None], position - _SAME, position + _SAME)
        for m in range(len(images)):
            votes[name, int(images.operation[m]), tuple(images.shift[m].tolist())] += 1
    if not votes:
        return None, None
    (name, operation, shift), _ = votes.most_common(1)[0]
    return name, Pose(symmetry.rotations[operation], symmetry.translations[operation] + np.array(shift))


def _moved(residue: gemmi.Residue, pose: Pose, symmetry: Symmetry) -> gemmi.Residue:
    copy: gemmi.Residue = residue.clone()
    for atom in copy:
        atom.pos = gemmi.Position(*pose.apply(symmetry, np.array(atom.pos.tolist())).tolist())
    return copy


def _distance(a: gemmi.Residue, b: gemmi.Residue) -> float:
    return float(np.linalg.norm(ca_of(a) - ca_of(b)))
