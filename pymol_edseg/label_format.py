"""Formats of labels: the fields of a proposal, put into a text."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping

from pymol_edseg.proposals import Proposal

#: Named label formats; anything else is a format string with the same fields.
LABEL_FORMATS: dict[str, str] = {
    "focus": "{label}",
    "ranks": "{label1} {p1:.0f} / {label2} {p2:.0f} / {label3} {p3:.0f}",
    "rank1": "{label} {p1:.0f}",
    "id": "{id} {label}",
    "none": "",
}
#: Ranks of a smaller probability are left out of labels.
LEAST = 0.05
_LONGEST = 200
_WHOLE, _NUMBER, _WORD = r"[<>^]?\d{0,2}d?", r"[<>^]?\d{0,2}(\.\d)?[fg]?", r"[<>^]?\d{0,2}"
#: The fields, each with the format specifications that make sense: a width, and the precision of a number.
FIELDS: dict[str, str] = {
    "id": _WHOLE,
    "label": _WORD,
    "confidence": _NUMBER,
    **dict.fromkeys(("label1", "label2", "label3"), _WORD),
    **dict.fromkeys(("p1", "p2", "p3"), _NUMBER),
}


def check_format(pattern: str) -> str:
    """Return a label format, or the name of one.

    Raises
    ------
    ValueError
        If it is neither.
    """
    try:
        parts = list(string.Formatter().parse(LABEL_FORMATS.get(pattern, pattern)))
    except (TypeError, ValueError):
        parts = [("", "not a field", "", None)]
    for _, field, specification, conversion in parts:
        known = field is None or (
            field in FIELDS and re.fullmatch(FIELDS[field], specification or "") and not conversion
        )
        if not known or len(pattern) > _LONGEST:
            raise ValueError(f"{pattern!r} is not a label format; its fields are {', '.join(FIELDS)}.")
    return pattern


def format_label(pattern: str, proposal: Proposal, identity: str | None) -> str:
    """Fill a label format, without improbable ranks; an identity that the user gave stands in front of them."""
    ranks = pattern == "ranks"
    pattern = LABEL_FORMATS.get(pattern, pattern)
    if ranks:
        parts = pattern.split(" / ")
        pattern = " / ".join(parts[i] for i, (_, p) in enumerate(proposal.ranks) if i == 0 or p >= LEAST)
    fields: Mapping[str, object] = {
        "id": proposal.id,
        "label": identity or proposal.label,
        "confidence": 100 * proposal.confidence,
        **{f"label{i}": label for i, (label, _) in enumerate(proposal.ranks, 1)},
        **{f"p{i}": 100 * p for i, (_, p) in enumerate(proposal.ranks, 1)},
    }
    text = pattern.format(**fields)
    return f"{identity}: {text}" if identity and "{label}" not in pattern and text else text
