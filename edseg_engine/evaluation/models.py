"""How good a built model is, compared with a known one of the same crystal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.building.coordinates import residue_name
from edseg_engine.building.placing import Pose
from edseg_engine.building.records import FloatArray, Model
from edseg_engine.crystal.symmetry import Symmetry

#: A residue is built when its CA lies this near (Å) to that of the known model, in the same place of the sequence.
BUILT = 1.0
#: A CA this near (Å) belongs to the residue, whatever it is called.
_NEAR = 2.0
#: C and N of neighbours that are linked lie this near (Å).
_LINKED = 1.7


@dataclass(frozen=True)
class Comparison:
    """A built model beside a known one.

    Attributes
    ----------
    completeness
        Share of the known residues with a CA within 1 Å that is in the right place of the sequence.
    located
        Share of the known residues with a CA within 1 Å, wherever in the sequence, or without a place in it.
    sequenced
        Share of the known residues with a CA within 2 Å in the right place of the sequence.
    linked
        Share of the known peptide bonds whose residues are built and linked.
    false
        Share of the built residues that have no known one within 2 Å.
    rms_ca, rms_side_chain
        Root mean square deviation in Å of the CA, and of the side-chain atoms beyond CB, of the residues that count as
        complete. Side chains with two equal ends are compared in the better way.
    """

    completeness: float
    located: float
    sequenced: float
    linked: float
    false: float
    rms_ca: float
    rms_side_chain: float


@dataclass(frozen=True, eq=False)
class _Residue:
    place: tuple[str, int]
    name: str
    atoms: Mapping[str, FloatArray]


#: Atoms of the two equal ends of side chains.
_EQUAL = {
    "PHE": (("CD1", "CD2"), ("CE1", "CE2")),
    "TYR": (("CD1", "CD2"), ("CE1", "CE2")),
    "ASP": (("OD1", "OD2"),),
    "GLU": (("OE1", "OE2"),),
    "ARG": (("NH1", "NH2"),),
}
_MAIN = frozenset({"N", "CA", "C", "O", "CB", "OXT"})


def compare(model: Model, known: gemmi.Structure) -> Comparison:
    """Compare a model with a known one, over symmetry copies and copies of a chain.

    The numbering of the known model need not begin at 1: it is compared with the sequence of the built chain first.
    """
    symmetry = Symmetry(known.cell, gemmi.SpaceGroup(known.spacegroup_hm))
    true = _residues(known)
    ours = [
        _Residue(address, residue.name, _positions(residue))
        for address, residue in model.residues.items()
        if residue.find_atom("CA", "*")
    ]
    if not ours or not true:
        return Comparison(0, 0, 0, 0, float(bool(ours)), float("nan"), float("nan"))
    ca = np.array([residue.atoms["CA"] for residue in true])
    positions = np.array([residue.atoms["CA"] for residue in ours])
    partner, poses, distance = _nearest(positions, ca, symmetry)
    near = distance < _NEAR
    pairs = {(ours[i].place[0], true[partner[i]].place[0]) for i in np.flatnonzero(near)}
    shift = {(a, b): _numbering(model.sequences[a], [r for r in true if r.place[0] == b]) for a, b in pairs}
    right = np.array(
        [
            bool(near[i]) and r.place[1] - true[partner[i]].place[1] == shift[r.place[0], true[partner[i]].place[0]]
            for i, r in enumerate(ours)
        ]
    )
    complete = right & (distance < BUILT)
    located = set(partner[distance < BUILT].tolist())
    if unplaced := [_positions(residue)["CA"] for residue in model.unplaced.values()]:
        nearest, _, how_near = _nearest(np.array(unplaced), ca, symmetry)
        located |= set(nearest[how_near < BUILT].tolist())
    by_true = {int(partner[i]): i for i in np.flatnonzero(complete)}
    bonds = [
        (i, i + 1) for i, (a, b) in enumerate(pairwise(true)) if a.place[0] == b.place[0] and _bond(a, b) < _LINKED
    ]
    linked = sum(
        a in by_true and b in by_true and _bond(ours[by_true[a]], ours[by_true[b]]) < _LINKED for a, b in bonds
    )
    deviations = [
        _side_chain(ours[i], true[partner[i]], poses[i], symmetry)
        for i in np.flatnonzero(complete)
        if ours[i].name == true[partner[i]].name
    ]
    side = np.concatenate([np.zeros(0), *deviations])
    n = len(true)
    return Comparison(
        completeness=len(by_true) / n,
        located=len(located) / n,
        sequenced=len(set(partner[right].tolist())) / n,
        linked=linked / max(1, len(bonds)),
        false=float(np.mean(~near)),
        rms_ca=float(np.sqrt(np.mean(distance[complete] ** 2))) if complete.any() else float("nan"),
        rms_side_chain=float(np.sqrt(np.mean(side))) if len(side) else float("nan"),
    )


def _numbering(sequence: str, chain: list[_Residue]) -> int:
    """Return what to add to the numbers of a known chain to come to places in a sequence, counted from 1."""
    votes: Counter[int] = Counter()
    letters = [residue_name(letter) for letter in sequence]
    for residue in chain:
        votes.update(place - residue.place[1] for place, name in enumerate(letters, 1) if name == residue.name)
    return votes.most_common(1)[0][0] if votes else 0


def _residues(structure: gemmi.Structure) -> list[_Residue]:
    structure = structure.clone()
    structure.setup_entities()
    structure.remove_alternative_conformations()
    found = []
    for chain in structure[0]:
        for number, residue in enumerate(chain.get_polymer()):
            place = residue.label_seq or residue.seqid.num or number
            if residue.find_atom("CA", "*"):
                found.append(_Residue((chain.name, int(place)), residue.name, _positions(residue)))
    return found


def _positions(residue: gemmi.Residue) -> dict[str, FloatArray]:
    return {atom.name: np.array(atom.pos.tolist(), dtype=np.float64) for atom in residue if not atom.is_hydrogen()}


def _nearest(
    positions: FloatArray, targets: FloatArray, symmetry: Symmetry
) -> tuple[NDArray[np.intp], list[Pose | None], FloatArray]:
    """Return for each position the nearest target over all symmetry copies, the pose of that, and the distance (Å)."""
    partner = np.zeros(len(positions), np.intp)
    distance = np.full(len(positions), np.inf)
    poses: list[Pose | None] = [None] * len(positions)
    images = symmetry.images_in_box(targets, positions.min(0) - _NEAR, positions.max(0) + _NEAR)
    if len(images):
        distance, image = cKDTree(images.positions).query(positions, workers=1)
        partner = images.index[image]
        poses = [
            Pose(symmetry.rotations[images.operation[m]], symmetry.translations[images.operation[m]] + images.shift[m])
            for m in image
        ]
    return partner, poses, distance


def _bond(first: _Residue, second: _Residue) -> float:
    if "C" not in first.atoms or "N" not in second.atoms:
        return float("inf")
    return float(np.linalg.norm(first.atoms["C"] - second.atoms["N"]))


def _side_chain(ours: _Residue, true: _Residue, pose: Pose | None, symmetry: Symmetry) -> FloatArray:
    """Return the squared deviations (Å²) of the side-chain atoms that both have."""
    names = [name for name in ours.atoms if name in true.atoms and name not in _MAIN]
    if not names or pose is None:
        return np.zeros(0)
    exchanged = {a: b for pair in _EQUAL.get(true.name, ()) for a, b in (pair, pair[::-1])}
    found = []
    for swap in ({}, exchanged):
        other = [swap.get(name, name) for name in names]
        if not all(name in true.atoms for name in other):
            continue
        there = pose.apply(symmetry, np.array([true.atoms[name] for name in other]))
        found.append(((there - np.array([ours.atoms[name] for name in names])) ** 2).sum(1))
    return min(found, key=lambda squares: float(squares.sum()))
