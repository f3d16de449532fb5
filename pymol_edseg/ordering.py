"""Orders in which a user may want to see the proposals."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

from pymol_edseg.doubts import doubts
from pymol_edseg.palette import LABELS
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result

ORDERS = ("confidence", "doubt", "class", "chain")

#: Centroids of neighbours along a chain are at most about this far apart (Å).
_NEIGHBOUR = 7.5


def order_of(result: Result, by: str) -> list[int]:
    """Return the ids of all proposals in one of `ORDERS`.

    They are the surest first, what is doubtful first and then the least sure, by class, or along the chain with long
    stretches first.
    """
    surest = sorted(result.proposals, key=lambda p: (-p.confidence, p.id))
    if by == "class":
        classes = result.classes()
        surest.sort(key=lambda p: LABELS.index(classes[p.id]))
    if by == "doubt":
        first = doubts(result)
        surest.sort(key=lambda p: (p.id not in first, p.confidence, -p.id))
    if by != "chain":
        return [p.id for p in surest]
    if any(p.atoms for p in surest):
        return [number for stretch in sorted(result.stretches, key=len, reverse=True) for number in stretch]
    return _along_chain(surest)


def _along_chain(surest: list[Proposal]) -> list[int]:
    """Go from each proposal to its nearest unvisited neighbour; where there is none, to the surest that is left."""
    cells: dict[tuple[int, ...], dict[int, Proposal]] = defaultdict(dict)
    for p in surest:
        cells[_cell(p)][p.id] = p
    order: list[int] = []
    visited: set[int] = set()
    for start in surest:
        here: Proposal | None = start if start.id not in visited else None
        while here is not None:
            order.append(here.id)
            visited.add(here.id)
            del cells[_cell(here)][here.id]
            here = _nearest(here, cells)
    return order


def _cell(p: Proposal) -> tuple[int, ...]:
    return tuple(math.floor(x / _NEIGHBOUR) for x in p.position)


def _nearest(here: Proposal, cells: dict[tuple[int, ...], dict[int, Proposal]]) -> Proposal | None:
    home = _cell(here)
    best, least = None, _NEIGHBOUR
    for step in itertools.product((-1, 0, 1), repeat=3):
        for other in cells.get(tuple(h + s for h, s in zip(home, step, strict=True)), {}).values():
            distance = math.dist(here.position, other.position)
            if distance < least:
                best, least = other, distance
    return best
