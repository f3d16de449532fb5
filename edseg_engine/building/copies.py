"""Which docked pieces belong to one copy of a chain, and where they lie together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from edseg_engine.building.placing import Pose, copies_near, moved
from edseg_engine.building.records import CA, FloatArray, Fragment
from edseg_engine.crystal.symmetry import Symmetry

#: Å from one CA to the next, and the error of such a distance.
STEP, _TOLERANCE = 3.8, 1.2
#: Mean squared end-to-end distance of a loop of n residues is this (Å²) times n.
_STIFFNESS = 1.5 * STEP**2
_LONGEST_LOOP = 40
#: Evidence for a distance that is too long (or too short), but hardly.
_IMPOSSIBLE = -8.0
#: Pieces farther apart than this (Å) say nothing about each other.
_FAR = 40.0


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a fragment in its place in a sequence.

    Attributes
    ----------
    fragment
        The residues.
    place
        Index in `Places` of the first of them.
    probability
        shape (n,): that a residue is in this place.
    """

    fragment: Fragment
    place: int
    probability: FloatArray

    @property
    def end(self) -> int:
        """Place after the last residue."""
        return self.place + len(self.fragment)


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


def gap_evidence(distance: FloatArray, steps: NDArray[np.intp], volume: float) -> FloatArray:
    """Return the logarithm of how much more likely a distance (Å) between two CA is when they are `steps` residues
    apart in one chain than when they lie anywhere in `volume` Å³.

    A distance that the chain cannot span speaks strongly against, but not without limit: the sequence of a crystal is
    not always that of the file.
    """
    variance = _STIFFNESS * np.minimum(steps, _LONGEST_LOOP)
    evidence = np.log(volume) + 1.5 * np.log(3 / (2 * np.pi * variance)) - 1.5 * distance**2 / variance
    excess = np.maximum(distance - STEP * steps - _TOLERANCE, STEP - _TOLERANCE - distance)
    return np.asarray(np.where(excess > 0, _IMPOSSIBLE - excess, evidence))


def room(symmetry: Symmetry, positions: FloatArray) -> float:
    """Return the volume (Å³) in which a position lies once: the asymmetric unit, or the box around `positions`."""
    if symmetry.periodic:
        return float(symmetry.cell.volume) / len(symmetry)
    return float(np.prod(np.ptp(positions, axis=0) + 10.0))


def join(pieces: Sequence[Piece], symmetry: Symmetry, copies: int, volume: float) -> list[list[Piece]]:
    """Return the pieces of one sequence, grouped to copies of the chain; the largest group first.

    Two groups become one while the distances of their pieces speak for it, best first; and, while there are more
    groups than `copies`, if nothing forbids it. No place is taken twice in a group.
    """
    if not pieces:
        return []
    pieces = sorted(pieces, key=lambda piece: piece.place)
    n = len(pieces)
    starts = np.array([piece.fragment.atoms[0, CA] for piece in pieces])
    ends = np.array([piece.fragment.atoms[-1, CA] for piece in pieces])
    images = symmetry.images_in_box(starts, ends.min(0) - _FAR, ends.max(0) + _FAR)
    distances = np.full((n, n), _FAR)
    if len(images):
        all_distances = cdist(ends, images.positions)
        for j in range(n):
            ours = images.index == j
            if ours.any():
                distances[:, j] = np.minimum(_FAR, all_distances[:, ours].min(1))
    steps = np.array([[b.place - a.end + 1 for b in pieces] for a in pieces])
    evidence = gap_evidence(distances, np.maximum(steps, 1), volume)
    evidence[(distances >= _FAR) & (steps * STEP >= _FAR)] = -1.0
    evidence[steps < 1] = -np.inf
    groups: list[list[int]] = [[i] for i in range(n)]
    while True:
        best, pair = -np.inf, (0, 0)
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                score = _joint_evidence(groups[a], groups[b], evidence)
                if score > best:
                    best, pair = score, (a, b)
        if best == -np.inf or (best < 0 and len(groups) <= copies):
            break
        a, b = pair
        groups[a] = sorted(groups[a] + groups.pop(b))
    groups.sort(key=lambda group: -sum(len(pieces[i].fragment) for i in group))
    return [[pieces[i] for i in group] for group in groups]


def _joint_evidence(a: list[int], b: list[int], evidence: FloatArray) -> float:
    """Return the evidence that two groups are one chain: of the pieces of both that follow each other."""
    order = sorted(a + b)
    ours = set(a)
    total = 0.0
    for first, second in pairwise(order):
        between = evidence[first, second]
        if between == -np.inf:
            return -np.inf
        if (first in ours) != (second in ours):
            total += float(between)
    return total


def place_chain(pieces: Sequence[Piece], symmetry: Symmetry) -> list[Piece]:
    """Return the pieces of a chain, in the order of the sequence, each in the symmetry copy next to the others.

    The longest stays where it is.
    """
    pieces = sorted(pieces, key=lambda piece: piece.place)
    longest = max(range(len(pieces)), key=lambda i: len(pieces[i].fragment))
    placed = {longest: pieces[longest]}
    for i in [*range(longest + 1, len(pieces)), *range(longest - 1, -1, -1)]:
        neighbour = placed[i - 1 if i > longest else i + 1]
        placed[i] = _beside(pieces[i], neighbour, list(placed.values()), symmetry)
    return [placed[i] for i in range(len(pieces))]


def _beside(piece: Piece, neighbour: Piece, chain: list[Piece], symmetry: Symmetry) -> Piece:
    """Return a piece in the copy whose end is nearest to its neighbour's and, where the gap is long, to the chain."""
    after = piece.place > neighbour.place
    steps = (piece.place - neighbour.end if after else neighbour.place - piece.end) + 1
    ours, theirs = (0, -1) if after else (-1, 0)
    point = neighbour.fragment.atoms[theirs, CA]
    centre = np.concatenate([p.fragment.atoms[:, CA] for p in chain]).mean(0)
    middle = piece.fragment.atoms[:, CA].mean(0)
    reach = min(STEP * steps + _TOLERANCE, _FAR)
    best: tuple[float, Piece] | None = None
    while best is None:
        for operation, shift, position in copies_near(piece.fragment.atoms[ours, CA], symmetry, point, reach):
            pose = Pose(symmetry.rotations[operation], symmetry.translations[operation] + shift)
            distance = float(np.linalg.norm(position - point))
            to_centre = float(np.linalg.norm(pose.apply(symmetry, middle) - centre))
            score = distance / np.sqrt(steps) + 0.3 * to_centre
            if best is None or score < best[0]:
                best = (score, replace(piece, fragment=moved(piece.fragment, symmetry, operation, shift)))
        reach *= 1.5
    return best[1]
