"""What the user decided about each proposal: an append-only journal, replayed to know the present state."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pymol_edseg import checked
from pymol_edseg.palette import is_identity

UNDECIDED, ACCEPTED, REJECTED = "undecided", "accepted", "rejected"
STATUSES = (UNDECIDED, ACCEPTED, REJECTED)


@dataclass(frozen=True)
class Decision:
    """The state of one proposal; `identity`, `model` and `comment` are None until the user gave them."""

    status: str = UNDECIDED
    identity: str | None = None
    model: str | None = None
    comment: str | None = None


NOTHING = Decision()


@dataclass(frozen=True)
class Entry:
    """One action of the user on some proposals: a new status, identity or comment; `time` is in seconds since 1970."""

    ids: tuple[int, ...]
    status: str | None = None
    identity: str | None = None
    model: str | None = None
    comment: str | None = None
    time: float | None = None

    def __str__(self) -> str:
        """Say what was done: ``"3 accepted as ILE"``."""
        many = f"{len(self.ids)} residue{'' if len(self.ids) == 1 else 's'}"
        what = self.status or ("commented on" if self.identity is None else "relabelled")
        return f"{many} {what}" + (f" as {self.identity}" if self.identity else "")


@dataclass
class Journal:
    """The actions in their order; the first `position` of them hold, the rest were undone."""

    entries: list[Entry] = field(default_factory=list)
    position: int = 0
    _known: dict[int, Decision] | None = field(default=None, repr=False, compare=False)

    def add(self, entry: Entry) -> None:
        """Append an action; what was undone before can no longer be redone."""
        self.entries[self.position :] = [entry]
        self.position += 1
        self._known = None

    def undo(self) -> Entry | None:
        """Take the last action back and return it, or None if there is none."""
        if not self.position:
            return None
        self.position -= 1
        self._known = None
        return self.entries[self.position]

    def redo(self) -> Entry | None:
        """Do the last undone action again and return it, or None if there is none."""
        if self.position == len(self.entries):
            return None
        self.position += 1
        self._known = None
        return self.entries[self.position - 1]

    def decisions(self) -> Mapping[int, Decision]:
        """Return the state of every proposal that was ever acted on."""
        if self._known is None:
            self._known = {}
            for entry in self.entries[: self.position]:
                for number in entry.ids:
                    self._known[number] = _after(self._known.get(number, NOTHING), entry)
        return self._known

    def accepted(self) -> dict[int, int]:
        """Return the ids that are accepted, in the order in which that was done, with the numbers of the actions."""
        order: dict[int, int] = {}
        for action, entry in enumerate(self.entries[: self.position]):
            for number in entry.ids:
                if entry.status == ACCEPTED:
                    order.setdefault(number, action)
                elif entry.status is not None:
                    order.pop(number, None)
        return order

    def would_change(self, entry: Entry) -> tuple[int, ...]:
        """Return those ids of an action that it would change."""
        state = self.decisions()
        before = {number: state.get(number, NOTHING) for number in entry.ids}
        return tuple(number for number in entry.ids if _after(before[number], entry) != before[number])

    def to_json(self) -> dict[str, Any]:
        return {"entries": [asdict(entry) for entry in self.entries], "position": self.position}

    @classmethod
    def from_json(cls, data: Any, known: Collection[int], lost: list[str]) -> Journal:
        """Read what `to_json` made, as far as it is sound.

        Parameters
        ----------
        known
            The ids that the result has.
        lost
            What is damaged is left out and added here.
        """
        nothing: list[Any] = []
        stored = checked.kept(lambda: list(data["entries"]), nothing, "the decisions", lost)
        entries = [checked.kept(functools.partial(_entry, values, known), None, "", []) for values in stored]
        if damaged := entries.count(None):
            lost.append(f"{damaged} of {len(entries)} decisions")
        position = len(entries)
        if stored:
            last = len(entries)
            position = checked.kept(lambda: checked.whole(data["position"], 0, last), last, "what was undone", lost)
        held = [entry for entry in entries[:position] if entry]
        return cls([*held, *(entry for entry in entries[position:] if entry)], len(held))


def _entry(values: Mapping[str, Any], known: Collection[int]) -> Entry | None:
    """Read an entry; raises an error of `checked.DAMAGE`."""
    ids = tuple(checked.whole(number, 1, 10**9) for number in values["ids"])
    status, identity = values["status"], values["identity"]
    if not ids or not set(ids) <= set(known) or status not in (None, *STATUSES):
        raise ValueError("not a decision on these proposals")
    if identity is not None and not is_identity(identity):
        raise ValueError(f"{identity!r} is not a residue type")
    model = checked.optional(checked.object_name, values["model"])
    comment = checked.optional(checked.text, values.get("comment"))
    return Entry(ids, status, identity, model, comment, checked.optional(_time, values.get("time")))


def _time(value: Any) -> float:
    return checked.number(value, 0, 1e12)


def _after(decision: Decision, entry: Entry) -> Decision:
    if entry.identity is not None:
        decision = replace(decision, identity=entry.identity)
    if entry.comment is not None:
        decision = replace(decision, comment=entry.comment)
    if entry.status is not None:
        decision = replace(decision, status=entry.status, model=entry.model)
    return decision
