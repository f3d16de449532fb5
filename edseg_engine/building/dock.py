"""Fragments into their places in the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp

from edseg_engine.building.alignment import Places, align, different
from edseg_engine.building.copies import Piece, gap_evidence, join, place_chain, room
from edseg_engine.building.peptide import direction, turned
from edseg_engine.building.placing import compact, moved
from edseg_engine.building.records import CA, FloatArray, Fragment, IntArray, Trace
from edseg_engine.crystal.symmetry import Symmetry

#: Less probable places are not believed.
SURE = 0.95
#: Probability that a whole fragment runs the wrong way, and that a residue belongs to no sequence.
_REVERSED, _NOWHERE = 0.02, 0.3
#: So many residues that are sure of a place which is taken mean one more copy of the chain.
_ONE_MORE_COPY = 12
#: Fewest residues of a fragment that is built without a sequence.
SHORTEST = 4
#: One-letter code that stands for each class.
_LETTERS = "AGILPVFWYDERHKSCM"
#: Gaps longer than this (residues) hardly tell where a fragment lies.
_FAR_STEPS = 15


@dataclass(frozen=True, eq=False)
class Chain:
    """One copy of a chain, as far as it is known.

    Attributes
    ----------
    sequence
        Index of the sequence.
    pieces
        In the order of the sequence, no place twice, all in one molecule. Their `place` counts from 0 in the sequence.
    """

    sequence: int
    pieces: tuple[Piece, ...]

    @property
    def n_residues(self) -> int:
        return sum(len(piece.fragment) for piece in self.pieces)

    @property
    def ca(self) -> FloatArray:
        """Positions (n, 3) of the CA in Å."""
        return np.concatenate([piece.fragment.atoms[:, CA] for piece in self.pieces])


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
    chains, rest = _fill(chains, rest, unique, symmetry, volume)
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


def _fill(
    chains: list[Chain],
    rest: list[Fragment],
    sequences: tuple[str, ...],
    symmetry: Symmetry,
    volume: float,
) -> tuple[list[Chain], list[Fragment]]:
    """Dock, the surest first, what fits sequence and distances in the gaps that the chains have left."""
    waiting = dict(enumerate(rest))
    known: dict[tuple[int, int], tuple[FloatArray, list[tuple[int, Fragment]]]] = {}
    while True:
        best: tuple[float, int, int, int, Fragment] | None = None
        for i, fragment in waiting.items():
            scores, options = [np.array([np.log(_NOWHERE)])], []
            for c, chain in enumerate(chains):
                if (i, c) not in known:
                    known[i, c] = _gap_scores(fragment, chain, sequences[chain.sequence], symmetry, volume)
                scores.append(known[i, c][0])
                options += [(c, place, copy) for place, copy in known[i, c][1]]
            if not options:
                continue
            score = np.concatenate(scores)
            score[1:] += np.log((1 - _NOWHERE) / len(options))
            probability = np.exp(score - logsumexp(score))
            top = int(probability[1:].argmax())
            if probability[1 + top] >= SURE and (best is None or probability[1 + top] > best[0]):
                best = (float(probability[1 + top]), i, *options[top])
        if best is None:
            return chains, list(waiting.values())
        probability_, i, c, place, copy = best
        piece = Piece(copy, place, np.full(len(copy), probability_))
        chains[c] = replace(chains[c], pieces=tuple(sorted([*chains[c].pieces, piece], key=lambda p: p.place)))
        del waiting[i]
        known = {key: value for key, value in known.items() if key[1] != c and key[0] != i}


def _gap_scores(
    fragment: Fragment, chain: Chain, sequence: str, symmetry: Symmetry, volume: float
) -> tuple[FloatArray, list[tuple[int, Fragment]]]:
    """Return log-likelihoods of the free places of a chain in which a fragment may lie, and of each the place and the
    fragment there."""
    n = len(fragment)
    places = Places.of([sequence])
    gaps = [
        (before, after)
        for before, after in zip([None, *chain.pieces], [*chain.pieces, None], strict=True)
        if (after.place if after else len(sequence)) - (before.end if before else 0) >= n
    ]
    scores: list[float] = []
    options: list[tuple[int, Fragment]] = []
    if not gaps:
        return np.zeros(0), options
    ca = chain.ca
    reach = float(np.linalg.norm(ca - ca.mean(0), axis=1).max()) + 25.0
    middle = fragment.atoms[:, CA].mean(0)
    images = symmetry.images_in_box(middle[None], ca.mean(0) - reach, ca.mean(0) + reach)
    copies = [moved(fragment, symmetry, int(images.operation[m]), images.shift[m]) for m in range(len(images))]
    for reverse_ in (False, True):
        ways = [turned(copy) for copy in copies] if reverse_ else copies
        if not ways:
            continue
        way = ways[0]
        prior = np.log(_REVERSED if reverse_ else 1 - _REVERSED) + min(0.0, direction(way))
        likelihood = np.log(places.likelihood(way.probabilities))
        start = np.array([copy.atoms[0, CA] for copy in ways])
        end = np.array([copy.atoms[-1, CA] for copy in ways])
        for before, after in gaps:
            first = before.end if before else 0
            last = (after.place if after else len(sequence)) - n
            place = np.arange(first, last + 1, dtype=np.intp)
            score = np.array([likelihood[np.arange(n), p + np.arange(n)].sum() for p in place]) + prior
            evidence = np.zeros((len(place), len(ways)))
            if before:
                distance = np.linalg.norm(start - before.fragment.atoms[-1, CA], axis=1)
                evidence += _bounded(distance, place - before.end + 1, volume)
            if after:
                distance = np.linalg.norm(end - after.fragment.atoms[0, CA], axis=1)
                evidence += _bounded(distance, after.place - (place + n) + 1, volume)
            nearest = evidence.argmax(1)
            for row, p in enumerate(place):
                scores.append(float(score[row] + evidence[row, nearest[row]]))
                options.append((int(p), ways[nearest[row]]))
    return np.array(scores), options


def _bounded(distance: FloatArray, steps: IntArray, volume: float) -> FloatArray:
    """Return the evidence (m, n) of distances (n,) for numbers of steps (m,); long gaps speak only against."""
    evidence = gap_evidence(distance[None], steps[:, None], volume)
    far = np.broadcast_to(steps[:, None] > _FAR_STEPS, evidence.shape)
    return np.where(far, np.minimum(evidence, 0.0), evidence)


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
