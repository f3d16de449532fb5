"""What the plugin knows of a PyMOL session: the results, the run that is going on, and who wants to hear of changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymol_edseg.engine_process import Run
from pymol_edseg.journal import Decision, Journal
from pymol_edseg.palette import class_of
from pymol_edseg.proposals import Proposal, proposals_of


@dataclass
class Result:
    """The proposals of one run and what the user decided about them.

    Attributes
    ----------
    name
        Name of the group of objects; the pseudo-atoms are ``NAME_sites``.
    data
        The engine's ``result.json``.
    details
        The map's name, state and matrix, and where the run's files are (JSON values).
    """

    name: str
    data: Mapping[str, Any]
    details: dict[str, Any]
    journal: Journal = field(default_factory=Journal)
    proposals: tuple[Proposal, ...] = ()
    shown: tuple[str, ...] = ()
    level: float | None = None
    current: int | None = None

    def __post_init__(self) -> None:
        self.proposals = self.proposals or proposals_of(self.data)

    @property
    def sites(self) -> str:
        return f"{self.name}_sites"

    @property
    def voxels(self) -> str:
        return f"{self.name}_voxels"

    @property
    def density(self) -> str:
        return f"{self.name}_density"

    @property
    def folder(self) -> Path | None:
        folder = self.details.get("folder")
        return Path(folder) if folder else None

    def by_id(self) -> dict[int, Proposal]:
        return {proposal.id: proposal for proposal in self.proposals}

    def decisions(self) -> dict[int, Decision]:
        """Return the decision on every proposal, also the undecided ones."""
        return {proposal.id: Decision() for proposal in self.proposals} | self.journal.decisions()

    def classes(self) -> dict[int, str]:
        """Return the class of every proposal: that of the user's identity where there is one, else rank 1."""
        decisions = self.journal.decisions()
        return {
            p.id: class_of(d.identity) if (d := decisions.get(p.id)) and d.identity else p.label for p in self.proposals
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": dict(self.data),
            "details": self.details,
            "journal": self.journal.to_json(),
            "shown": list(self.shown),
            "level": self.level,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """Read what `to_json` made; raises KeyError or ValueError if it is damaged."""
        return cls(
            str(values["name"]),
            values["data"],
            dict(values["details"]),
            Journal.from_json(values["journal"]),
            shown=tuple(values.get("shown", ())),
            level=values.get("level"),
        )


@dataclass
class State:
    """One PyMOL's state of the plugin; get it from `state_of`."""

    results: dict[str, Result] = field(default_factory=dict)
    run: Run | None = None
    resolutions: dict[str, float] = field(default_factory=dict)
    last_message: str = ""
    #: Called with a topic: "run", "results" or "decisions".
    listeners: list[Callable[[str], None]] = field(default_factory=list)

    def changed(self, topic: str) -> None:
        """Tell everybody who wants to know."""
        for listener in list(self.listeners):
            listener(topic)

    def live(self, cmd: Any) -> dict[str, Result]:
        """Return the results whose pseudo-atoms are still in PyMOL; the others are forgotten."""
        objects = set(cmd.get_names("objects"))
        for name in [name for name, result in self.results.items() if result.sites not in objects]:
            del self.results[name]
        return self.results


def state_of(cmd: Any) -> State:
    """Return the state that belongs to a PyMOL (its ``cmd``)."""
    pymol = cmd._pymol
    if not hasattr(pymol, "_edseg"):
        pymol._edseg = State()
    state: State = pymol._edseg
    return state
