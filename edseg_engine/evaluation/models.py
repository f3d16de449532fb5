"""How good a built model is, compared with the true one of the same crystal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.origins import likeliest_shift, polar_projection
from edseg_engine.crystal.symmetry import FloatArray, Symmetry
from edseg_engine.errors import ModelFormatError
from edseg_engine.evaluation.boxes import match_boxes
from edseg_engine.evaluation.crystals import common_symmetry
from edseg_engine.evaluation.matching import Matching, match
from edseg_engine.evaluation.protein import ProteinResidue, protein_residues

#: A residue is built when a CA lies this near (Å) to its own.
BUILT = 1.0
#: A CA this near (Å) belongs to the residue, whatever it is called.
NEAR = 2.0
#: C and N of neighbours that are linked lie this near (Å).
LINKED = 1.7
#: With fewer of its CA than this share near one of the true model, the built one may lie on another origin.
_OFF_ORIGIN = 0.5
#: More than so many of its CA must be near on the other origin: a few are on one of them by chance.
_FEWEST_ON_ORIGIN = 20
#: A gap in the alignment of two chains costs as much as so many equal types bring.
_GAP = 6
#: Chains of which less than this share of the shorter one's types agree have nothing in common: alanines, perhaps.
_IN_COMMON = 0.3
#: Times that a shift along a polar axis is corrected.
_POLISHING = 4


@dataclass(frozen=True)
class NamedPairs:
    """How the residues that are paired in some way are named, in the 17 classes of edseg.

    Attributes
    ----------
    matched
        Share of the true residues that have a partner.
    rank1_matched
        Share of these whose partner has the right class; NaN without any.
    rank1_all
        Share of all true residues whose partner has the right class.
    """

    matched: float
    rank1_matched: float
    rank1_all: float


@dataclass(frozen=True)
class Comparison:
    """A built model beside the true one. A CA of each is paired with at most one of the other, within 2 Å.

    Attributes
    ----------
    n_built, n_true
        Residues of the two.
    n_bonds
        Peptide bonds of the true model.
    origin
        Shift (fractional) of the built model's origin in the true model.
    completeness
        Share of the true residues with a CA within 1 Å.
    typed
        Share of the true residues with a CA within 1 Å whose residue has the right one of the twenty types.
    placed
        Those of them that are in the right place of the sequence.
    sequenced
        The same as `placed` within 2 Å.
    linked
        Share of the peptide bonds of the true model whose residues both have a CA within 1 Å and are bonded; NaN
        without any.
    extra
        Share of the built residues without a partner.
    rms_ca, rms_side_chain
        Root mean square deviation in Å of the CA within 1 Å, and of the side-chain atoms beyond CB where the type is
        right as well. Side chains with two equal ends are compared in the better way. NaN without any.
    by_boxes, by_centroids
        Names of the residues paired as in the thesis (5.3.5), see `match_boxes`, and as edseg pairs what it finds
        in a map, by centroids within 3 Å.
    """

    n_built: int
    n_true: int
    n_bonds: int
    origin: tuple[float, float, float]
    completeness: float
    typed: float
    placed: float
    sequenced: float
    linked: float
    extra: float
    rms_ca: float
    rms_side_chain: float
    by_boxes: NamedPairs
    by_centroids: NamedPairs


#: Atoms of the two equal ends of side chains.
_EQUAL = {
    "PHE": (("CD1", "CD2"), ("CE1", "CE2")),
    "TYR": (("CD1", "CD2"), ("CE1", "CE2")),
    "ASP": (("OD1", "OD2"),),
    "GLU": (("OE1", "OE2"),),
    "ARG": (("NH1", "NH2"),),
}
_MAIN = frozenset({"N", "CA", "C", "O", "CB", "OXT"})


def compare(built: gemmi.Structure, true: gemmi.Structure) -> Comparison:
    """Compare a built model with the true one of the same crystal, over symmetry copies and copies of a chain.

    The models may be numbered differently: which residue of a true chain a built one is, is what their types say in the
    order of the chains, aligned. They may lie on different origins that the space group allows.

    Raises
    ------
    ModelFormatError
        If one of them has no protein, or they are not of the same crystal.
    """
    symmetry = common_symmetry(built, true)
    ours, theirs = protein_residues(built[0]), protein_residues(true[0])
    for residues, which in ((ours, "built"), (theirs, "true")):
        if not residues:
            raise ModelFormatError(f"The {which} model has no protein: there are no amino acids with a CA in it.")
    ours, origin = _on_origin(ours, theirs, symmetry)
    near = _match_ca(ours, theirs, symmetry)
    same = np.array([ours[i].type == theirs[j].type != "UNK" for i, j in _pairs(near)], bool)
    placed = same & _in_place(ours, theirs, near)
    close = near.distance < BUILT
    partner = {j: ours[i] for (i, j), chosen in zip(_pairs(near), close, strict=True) if chosen}
    bonds = [
        (j, j + 1)
        for j, (a, b) in enumerate(itertools.pairwise(theirs))
        if a.chain == b.chain and a.bonded_to(b, LINKED)
    ]
    linked = sum(a in partner and b in partner and partner[a].bonded_to(partner[b], LINKED) for a, b in bonds)
    side = _side_chains(ours, theirs, near, close & same, symmetry)
    n = len(theirs)
    return Comparison(
        n_built=len(ours),
        n_true=n,
        n_bonds=len(bonds),
        origin=origin,
        completeness=float(close.sum() / n),
        typed=float((close & same).sum() / n),
        placed=float((close & placed).sum() / n),
        sequenced=float(placed.sum() / n),
        linked=linked / len(bonds) if bonds else float("nan"),
        extra=1 - len(near.found) / len(ours),
        rms_ca=_rms(near.distance[close] ** 2),
        rms_side_chain=_rms(side),
        by_boxes=_named(ours, theirs, match_boxes(ours, theirs, symmetry)),
        by_centroids=_named(ours, theirs, match(_centroids(ours), _centroids(theirs), symmetry)),
    )


def _on_origin(
    ours: list[ProteinResidue], theirs: list[ProteinResidue], symmetry: Symmetry
) -> tuple[list[ProteinResidue], tuple[float, float, float]]:
    """Return the built residues on the origin on which they agree best with the true ones, and its shift."""
    most = len(_match_ca(ours, theirs, symmetry).found)
    if most >= _OFF_ORIGIN * min(len(ours), len(theirs)) or not symmetry.periodic:
        return ours, (0.0, 0.0, 0.0)
    shift = likeliest_shift(_ca(ours), _ca(theirs), symmetry)
    for _ in range(_POLISHING):
        there = _moved(ours, symmetry.to_orthogonal(shift[None])[0])
        near = _match_ca(there, theirs, symmetry)
        if not len(near.found):
            break
        here, goals = _ca(there)[near.found], _ca(theirs)[near.true]
        difference = symmetry.apply(goals, *symmetry.nearest_copies(goals, here)) - here
        shift = shift + polar_projection(symmetry) @ symmetry.to_fractional(difference.mean(0)[None])[0]
    # By chance a wrong model has a few more near on one origin than on another.
    if len(near.found) <= max(1.5 * most, 0.4 * len(ours), _FEWEST_ON_ORIGIN):
        return ours, (0.0, 0.0, 0.0)
    x, y, z = (shift.round(4) % 1.0).tolist()
    return _moved(ours, symmetry.to_orthogonal(shift[None])[0]), (x, y, z)


def _moved(residues: Sequence[ProteinResidue], move: FloatArray) -> list[ProteinResidue]:
    return [replace(r, atoms={name: xyz + move for name, xyz in r.atoms.items()}) for r in residues]


def _ca(residues: Sequence[ProteinResidue]) -> FloatArray:
    return np.array([residue.ca for residue in residues])


def _match_ca(ours: Sequence[ProteinResidue], theirs: Sequence[ProteinResidue], symmetry: Symmetry) -> Matching:
    return match(_ca(ours), _ca(theirs), symmetry, NEAR)


def _centroids(residues: Sequence[ProteinResidue]) -> FloatArray:
    return np.array([residue.centroid for residue in residues])


def _pairs(matching: Matching) -> list[tuple[int, int]]:
    return list(zip(matching.found.tolist(), matching.true.tolist(), strict=True))


def _in_place(
    ours: Sequence[ProteinResidue], theirs: Sequence[ProteinResidue], matching: Matching
) -> NDArray[np.bool_]:
    """Return of each pair whether the built residue is that of the sequence which the true one is."""
    pairs = _pairs(matching)
    place: dict[tuple[int, str], int] = {}
    for built, true in {(ours[i].chain, theirs[j].chain) for i, j in pairs}:
        here = [i for i, r in enumerate(ours) if r.chain == built]
        there = [j for j, r in enumerate(theirs) if r.chain == true]
        for m, n in _aligned([ours[i] for i in here], [theirs[j] for j in there]):
            place[here[m], true] = there[n]
    return np.array([place.get((i, theirs[j].chain)) == j for i, j in pairs], bool)


def _aligned(ours: Sequence[ProteinResidue], theirs: Sequence[ProteinResidue]) -> list[tuple[int, int]]:
    """Return which residues of a built and of a true chain are the same in the sequence, by their order and types.

    What the numbers leave out takes its place; in the true chain only if the types fit better with it, for the sequence
    that a model was built with may leave out what is not seen.
    """
    scoring = gemmi.AlignmentScoring()
    scoring.match, scoring.mismatch, scoring.gapo, scoring.gape = 1, 0, -_GAP, 0
    built = _spaced(ours, len(theirs))
    names = [ours[i].type if i is not None else "" for i in built]
    ways: list[list[int | None]] = [_spaced(theirs, len(theirs)), [*range(len(theirs))]]
    alignments = [
        gemmi.align_string_sequences(names, [theirs[j].type if j is not None else "-" for j in true], [], scoring)
        for true in ways
    ]
    best = max((0, 1), key=lambda way: alignments[way].score)
    pairs: list[tuple[int | None, int | None]] = []
    m = n = 0
    for length, kind in re.findall(r"(\d+)([MID])", alignments[best].cigar_str()):
        if kind == "M":
            pairs += zip(built[m : m + int(length)], ways[best][n : n + int(length)], strict=True)
        m += 0 if kind == "D" else int(length)
        n += 0 if kind == "I" else int(length)
    both = [(i, j) for i, j in pairs if i is not None and j is not None]
    equal = sum(ours[i].type == theirs[j].type for i, j in both)
    return both if equal >= _IN_COMMON * min(len(ours), len(theirs)) else []


def _spaced(chain: Sequence[ProteinResidue], most: int) -> list[int | None]:
    """Return the indices of the residues, with None for each number between them that is missing, at most `most`."""
    spaced: list[int | None] = []
    for i, residue in enumerate(chain):
        missing = residue.number - chain[i - 1].number - 1 if i else 0
        spaced += [None] * min(missing, most)
        spaced.append(i)
    return spaced


def _named(ours: Sequence[ProteinResidue], theirs: Sequence[ProteinResidue], matching: Matching) -> NamedPairs:
    hits = sum(ours[i].label == theirs[j].label is not None for i, j in _pairs(matching))
    pairs, n = len(matching.found), len(theirs)
    return NamedPairs(pairs / n, hits / pairs if pairs else float("nan"), hits / n)


def _side_chains(
    ours: Sequence[ProteinResidue],
    theirs: Sequence[ProteinResidue],
    matching: Matching,
    chosen: NDArray[np.bool_],
    symmetry: Symmetry,
) -> FloatArray:
    """Return the squared deviations (Å²) of the side-chain atoms that both residues of the chosen pairs have."""
    found, true = matching.found[chosen], matching.true[chosen]
    operation, shift = symmetry.nearest_copies(
        np.array([theirs[j].ca for j in true]).reshape(-1, 3), np.array([ours[i].ca for i in found]).reshape(-1, 3)
    )
    squares = [np.zeros(0)]
    for n, (i, j) in enumerate(zip(found, true, strict=True)):
        names = [name for name in ours[i].atoms if name in theirs[j].atoms and name not in _MAIN]
        if names:
            here = np.array([ours[i].atoms[name] for name in names])
            copies = np.full(len(names), operation[n]), np.tile(shift[n], (len(names), 1))
            ways = [
                ((symmetry.apply(np.array([theirs[j].atoms[name] for name in way]), *copies) - here) ** 2).sum(1)
                for way in _equal_ways(names, theirs[j])
            ]
            squares.append(min(ways, key=lambda way: float(way.sum())))
    return np.concatenate(squares)


def _equal_ways(names: list[str], residue: ProteinResidue) -> list[list[str]]:
    """Return the atoms of a residue as they are named and, where it has equal ends, with these exchanged."""
    exchange = {a: b for pair in _EQUAL.get(residue.type, ()) for a, b in (pair, pair[::-1])}
    exchanged = [exchange.get(name, name) for name in names]
    return [names, exchanged] if residue.atoms.keys() >= set(exchanged) else [names]


def _rms(squares: FloatArray) -> float:
    return float(np.sqrt(squares.mean())) if len(squares) else float("nan")
