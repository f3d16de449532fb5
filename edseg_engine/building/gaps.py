"""Fragments whose types alone do not determine their place: in the gaps of chains, where distances help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from edseg_engine.building.alignment import Places
from edseg_engine.building.copies import Chain, Piece, gap_evidence
from edseg_engine.building.peptide import direction, turned
from edseg_engine.building.placing import moved
from edseg_engine.building.records import CA, FloatArray, Fragment
from edseg_engine.crystal.symmetry import Images, Symmetry

#: Shorter fragments are left out: the gaps that they would fill are closed by building from both sides.
_SHORTEST = 2
#: Prior probability that a fragment belongs to no gap, and that it runs the wrong way.
_NOWHERE, _REVERSED = 0.3, 0.02
#: Distances over more steps than this speak only against a place.
_FAR_STEPS = 15
#: Å around a chain in which its missing parts are sought.
_AROUND = 25.0


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A fragment beside a chain: its copies there, and how well its types fit each place of the sequence.

    Attributes
    ----------
    images
        m symmetry copies.
    ends
        shape (2, m, 3): CA of the first and the last residue of each copy.
    fit
        shape (2, places): log-likelihood of each first place, as the fragment runs and reversed.
    """

    images: Images
    ends: FloatArray
    fit: FloatArray


@dataclass(frozen=True, eq=False)
class _Options:
    """Ways to put a fragment into a gap: log-likelihood, first place, whether reversed, and copy; shape (o,) each."""

    score: FloatArray
    place: NDArray[np.intp]
    reversed: NDArray[np.bool_]
    image: NDArray[np.intp]


def fill(
    chains: Sequence[Chain],
    fragments: Sequence[Fragment],
    sequences: Sequence[str],
    symmetry: Symmetry,
    volume: float,
    sure: float,
) -> tuple[list[Chain], list[Fragment]]:
    """Put fragments into the gaps of chains, the surest first, as long as their probability is at least `sure`.

    Parameters
    ----------
    chains
        Each in one molecule.
    fragments
        In any symmetry copy.
    sequences
        In one-letter code.
    symmetry
        The symmetry copies of a position.
    volume
        Å³ in which a position lies once.

    Returns
    -------
    tuple
        The chains with what was put into them, and the fragments that are left.
    """
    chains = list(chains)
    short = [fragment for fragment in fragments if len(fragment) < _SHORTEST]
    waiting = dict(enumerate(fragment for fragment in fragments if len(fragment) >= _SHORTEST))
    candidates: dict[tuple[int, int], _Candidate] = {}
    options: dict[tuple[int, int, int, int], _Options] = {}
    while True:
        best: tuple[float, int, int, _Options, int] | None = None
        for i, fragment in waiting.items():
            found = []
            for c, chain in enumerate(chains):
                sequence = sequences[chain.sequence]
                for before, after in _gaps(chain):
                    first, last = before.end if before else 0, after.place if after else len(sequence)
                    if last - first < len(fragment):
                        continue
                    if (i, c) not in candidates:
                        candidates[i, c] = _candidate(fragment, chain, sequence, symmetry)
                    key = (i, c, first, last)
                    if key not in options:
                        options[key] = _options(candidates[i, c], len(fragment), before, after, first, last, volume)
                    found.append((c, options[key]))
            if not any(len(o.score) for _, o in found):
                continue
            score = np.concatenate([o.score for _, o in found])
            prior = np.log((1 - _NOWHERE) / len(score))
            probability = np.exp(score + prior - logsumexp([np.log(_NOWHERE), logsumexp(score) + prior]))
            top = int(probability.argmax())
            if probability[top] >= sure and (best is None or probability[top] > best[0]):
                at = top
                for c, o in found:
                    if at < len(o.score):
                        best = (float(probability[top]), i, c, o, at)
                        break
                    at -= len(o.score)
        if best is None:
            return chains, [*waiting.values(), *short]
        certainty, i, c, chosen, at = best
        images = candidates[i, c].images
        m = int(chosen.image[at])
        copy = moved(waiting.pop(i), symmetry, int(images.operation[m]), images.shift[m])
        copy = turned(copy) if chosen.reversed[at] else copy
        piece = Piece(copy, int(chosen.place[at]), np.full(len(copy), certainty))
        chains[c] = replace(chains[c], pieces=tuple(sorted([*chains[c].pieces, piece], key=lambda p: p.place)))


def _gaps(chain: Chain) -> list[tuple[Piece | None, Piece | None]]:
    return list(zip([None, *chain.pieces], [*chain.pieces, None], strict=True))


def _candidate(fragment: Fragment, chain: Chain, sequence: str, symmetry: Symmetry) -> _Candidate:
    centre = chain.ca.mean(0)
    reach = float(np.linalg.norm(chain.ca - centre, axis=1).max()) + _AROUND
    ca = fragment.atoms[:, CA]
    images = symmetry.images_in_box(ca.mean(0)[None], centre - reach, centre + reach)
    ends = np.stack(
        [symmetry.apply(np.repeat(ca[[end]], len(images), 0), images.operation, images.shift) for end in (0, -1)]
    )
    n, places = len(fragment), Places.of([sequence])
    log_odds = min(0.0, direction(fragment)), min(0.0, -direction(fragment))
    fit = []
    for probabilities, prior in (
        (fragment.probabilities, np.log(1 - _REVERSED) + log_odds[0]),
        (fragment.probabilities[::-1], np.log(_REVERSED) + log_odds[1]),
    ):
        likelihood = np.log(places.likelihood(probabilities))
        diagonals = np.lib.stride_tricks.sliding_window_view(likelihood, n, axis=1)
        fit.append(np.einsum("ipi->p", diagonals) + prior)
    return _Candidate(images, ends, np.stack(fit))


def _options(
    candidate: _Candidate, n: int, before: Piece | None, after: Piece | None, first: int, last: int, volume: float
) -> _Options:
    place = np.arange(first, last - n + 1, dtype=np.intp)
    m = len(candidate.images)
    if m == 0:
        nothing = np.zeros(0, np.intp)
        return _Options(np.zeros(0), nothing, np.zeros(0, bool), nothing)
    scores, images = [], []
    for reverse in (0, 1):
        start, end = candidate.ends[[reverse, 1 - reverse]]
        evidence = np.zeros((len(place), m))
        if before:
            distance = np.linalg.norm(start - before.fragment.atoms[-1, CA], axis=1)
            evidence += _evidence(distance, place - before.end + 1, volume)
        if after:
            distance = np.linalg.norm(end - after.fragment.atoms[0, CA], axis=1)
            evidence += _evidence(distance, after.place - (place + n) + 1, volume)
        images.append(evidence.argmax(1))
        scores.append(candidate.fit[reverse, place] + evidence.max(1))
    return _Options(
        np.concatenate(scores), np.tile(place, 2), np.repeat([False, True], len(place)), np.concatenate(images)
    )


def _evidence(distance: FloatArray, steps: NDArray[np.intp], volume: float) -> FloatArray:
    """Return the evidence (p, m) of distances (m,) for numbers of steps (p,); long gaps speak only against."""
    evidence = gap_evidence(distance[None], steps[:, None], volume)
    return np.where(steps[:, None] > _FAR_STEPS, np.minimum(evidence, 0.0), evidence)
