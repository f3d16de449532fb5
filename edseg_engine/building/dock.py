"""Fragments into their places in the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from edseg_engine.building.alignment import Places, align, different
from edseg_engine.building.copies import Chain, Piece, join, place_chain, room
from edseg_engine.building.gaps import fill
from edseg_engine.building.peptide import direction, turned
from edseg_engine.building.placing import compact
from edseg_engine.building.records import CA, FloatArray, Fragment, Trace
from edseg_engine.crystal.symmetry import Symmetry

#: Less probable places are not believed.
SURE = 0.95
#: Probability that a whole fragment runs the wrong way.
_REVERSED = 0.02
#: So many residues that are sure of a place which is taken mean one more copy of the chain.
_ONE_MORE_COPY = 12
#: Fewest residues of a fragment that is built without a sequence.
SHORTEST = 4
#: One-letter code that stands for each class.
_LETTERS = "AGILPVFWYDERHKSCM"


@dataclass(frozen=True, eq=False)
class Docking:
    """The chains and what is in none of them, in one compact unit of the crystal.

    Attributes
    ----------
    sequences
        In one-letter code.
    chains
        Copies of the chains, those of the first sequence first, the longest first.
    undocked
        Fragments without a sure place in a sequence, the longest first.
    symmetry
        The symmetry copies of a position.
    """

    sequences: tuple[str, ...]
    chains: tuple[Chain, ...]
    undocked: tuple[Fragment, ...]
    symmetry: Symmetry

    @property
    def n_docked(self) -> int:
        return sum(chain.n_residues for chain in self.chains)


def dock(
    trace: Trace, sequences: Sequence[str], residues: int | None = None, around: FloatArray | None = None
) -> Docking:
    """Find the places of the fragments in the sequences, and which of them make up one copy of a chain.

    Parameters
    ----------
    trace
        The fragments.
    sequences
        In one-letter code. A sequence that occurs twice has at least two copies.
    residues
        Number of residues in the asymmetric unit; None: as many as were found.
    around
        CA positions (n, 3) in Å of a known part of the model, around which all is placed.
    """
    unique, counts = different(sequences)
    symmetry = trace.symmetry
    if not unique or not trace.fragments:
        return Docking(unique, (), trace.fragments, symmetry)
    places = Places.of(unique)
    offsets = np.flatnonzero(places.first)
    total = sum(map(len, sequences))
    times = max(1, round((residues or trace.n_residues) / total))
    volume = room(symmetry, np.concatenate([f.atoms[:, CA] for f in trace.fragments]))
    pieces: list[Piece] = []
    rest: list[Fragment] = []
    for fragment in trace.fragments:
        sure, unsure = _sure_pieces(fragment, places)
        pieces += sure
        rest += unsure
    chains: list[Chain] = []
    for number, offset in enumerate(offsets):
        copies = times * counts[number]
        ours = [
            replace(piece, place=int(piece.place - offset))
            for piece in pieces
            if places.sequence[piece.place] == number
        ]
        groups = join(ours, symmetry, copies, volume)
        for rank, group in enumerate(groups):
            if rank < copies or sum(len(p.fragment) for p in group) >= _ONE_MORE_COPY:
                chains.append(Chain(number, tuple(place_chain(group, symmetry))))
            else:
                rest += [piece.fragment for piece in group]
    chains, rest = fill(chains, rest, unique, symmetry, volume, SURE)
    whole = _as_fragments(chains)
    placed = compact(whole + sorted(rest, key=len, reverse=True), symmetry, around)
    chains = [_with_atoms(chain, fragment) for chain, fragment in zip(chains, placed, strict=False)]
    return Docking(unique, tuple(chains), placed[len(chains) :], symmetry)


def rank_one(trace: Trace, around: FloatArray | None = None) -> Docking:
    """Return each fragment as a chain of its own, with the most probable types in place of a sequence.

    Fragments of less than `SHORTEST` residues stay out.
    """
    long = [fragment for fragment in trace.fragments if len(fragment) >= SHORTEST]
    placed = compact(long, trace.symmetry, around)
    sequences = ["".join(_LETTERS[i] for i in fragment.probabilities.argmax(1)) for fragment in placed]
    chains = tuple(
        Chain(number, (Piece(fragment, 0, fragment.probabilities.max(1)),)) for number, fragment in enumerate(placed)
    )
    return Docking(tuple(sequences), chains, trace.fragments[len(long) :], trace.symmetry)


def _sure_pieces(fragment: Fragment, places: Places) -> tuple[list[Piece], list[Fragment]]:
    """Return the parts of a fragment with a sure place, and the other parts."""
    ways = [fragment, turned(fragment)]
    alignments = [align(way.probabilities, places) for way in ways]
    odds = alignments[0].evidence - alignments[1].evidence + np.log(1 / _REVERSED - 1) + direction(fragment)
    best = 0 if odds > 0 else 1
    fragment, posterior = ways[best], alignments[best].posterior / (1 + np.exp(-abs(odds)))
    place = posterior.argmax(1)
    probability = posterior[np.arange(len(fragment)), place]
    sure = probability >= SURE
    joined = sure[1:] & sure[:-1] & (np.diff(place) == 1) | ~sure[1:] & ~sure[:-1]
    borders = [0, *(np.flatnonzero(~joined) + 1), len(fragment)]
    pieces, rest = [], []
    for first, last in pairwise(borders):
        part = fragment.part(first, last)
        if sure[first]:
            pieces.append(Piece(part, int(place[first]), probability[first:last]))
        else:
            rest.append(part)
    return pieces, rest


def _as_fragments(chains: list[Chain]) -> list[Fragment]:
    """Return each chain as one fragment, to be placed as a whole."""
    return [
        Fragment(
            *(
                np.concatenate([getattr(piece.fragment, name) for piece in chain.pieces])
                for name in ("residues", "atoms", "probabilities", "confidence")
            )
        )
        for chain in chains
    ]


def _with_atoms(chain: Chain, whole: Fragment) -> Chain:
    pieces, at = [], 0
    for piece in chain.pieces:
        n = len(piece.fragment)
        pieces.append(replace(piece, fragment=whole.part(at, at + n)))
        at += n
    return replace(chain, pieces=tuple(pieces))
