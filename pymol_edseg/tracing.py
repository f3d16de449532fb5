"""Which residue follows which along the chain, as their votes for the CA of their neighbours agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from pymol_edseg.crystal import Crystal, Neighbours
from pymol_edseg.proposals import NEXT, PREVIOUS, Proposal

#: Two residues may be neighbours if each votes for a CA nearer (Å) than this to that of the other. This finds 92 of the
#: 93 links between the residues of the shipped map, and no wrong one.
AGREE = 3.0


def trace(proposals: Sequence[Proposal], crystal: Crystal) -> list[list[int]]:
    """Return the ids of all proposals as stretches of chain, from N to C; one alone is a stretch of its own.

    Neighbours may be copies by symmetry. Of links that exclude each other, the one whose votes agree best holds.
    """
    voting = [p for p in proposals if p.atoms]
    neighbours = Neighbours(crystal, (p.anchor for p in voting), AGREE)
    links = []
    for p in voting:
        for contact in neighbours.contacts(p.atoms[NEXT]):
            other = voting[contact.other]
            back = math.dist(crystal.move(contact.image, p.anchor), other.atoms[PREVIOUS])
            if other is not p and back < AGREE:
                links.append((contact.distance + back, p.id, other.id))
    stretches = {p.id: [p.id] for p in proposals}
    for _, first, second in sorted(links):
        before, after = stretches[first], stretches[second]
        if before is not after and before[-1] == first and after[0] == second:
            before += after
            stretches |= dict.fromkeys(after, before)
    return list({id(stretch): stretch for stretch in stretches.values()}.values())


def at_odds(proposals: Sequence[Proposal], crystal: Crystal, stretches: Sequence[Sequence[int]]) -> frozenset[int]:
    """Return the ids of proposals that vote for a neighbour in the chain with which they are not linked."""
    pairs = {pair for stretch in stretches for pair in itertools.pairwise(stretch)}
    voting = [p for p in proposals if p.atoms]
    neighbours = Neighbours(crystal, (p.anchor for p in voting), AGREE)
    found: set[int] = set()
    for p in voting:
        for name in (NEXT, PREVIOUS):
            others = {voting[contact.other].id for contact in neighbours.contacts(p.atoms[name])} - {p.id}
            links = {(p.id, other) if name == NEXT else (other, p.id) for other in others}
            if links and not links & pairs:
                found.add(p.id)
    return frozenset(found)


def residue_numbers(stretches: Sequence[Sequence[int]], order: Sequence[int]) -> dict[int, int]:
    """Return residue numbers of proposals that were accepted in this order.

    The first of a stretch reserves numbers for all of it, so that residues keep theirs when more are accepted. Between
    stretches a number is left out, unless both are residues alone.
    """
    home = {number: (stretch, place) for stretch in stretches for place, number in enumerate(stretch)}
    start: dict[int, int] = {}
    free, last = 1, 0
    for number in order:
        stretch, _ = home[number]
        if stretch[0] not in start:
            gap = 1 if last and max(last, len(stretch)) > 1 else 0
            start[stretch[0]] = free + gap
            free, last = free + gap + len(stretch), len(stretch)
    return {number: start[stretch[0]] + place for number in order for stretch, place in [home[number]]}
