"""Which proposals deserve a look first."""

from __future__ import annotations

from pymol_edseg.state import Result

#: Proposals less sure than this are doubtful.
LOW = 0.5


def doubts(result: Result) -> dict[int, str]:
    """Return what is doubtful about proposals, by their ids, the least sure first."""
    found: dict[int, str] = {}
    for p in sorted(result.proposals, key=lambda p: (p.confidence, -p.id)):
        low = f"confidence {100 * p.confidence:.0f} %" if p.confidence < LOW else ""
        odd = "its neighbours in the chain disagree" if p.id in result.at_odds else ""
        if low or odd:
            found[p.id] = " and ".join(filter(None, (low, odd)))
    return found
