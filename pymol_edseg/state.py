"""What the plugin knows of a PyMOL session: the results, the run that is going on, and who wants to hear of changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pymol_edseg import checked
from pymol_edseg.crystal import Crystal, Image, Position
from pymol_edseg.engine_process import Run
from pymol_edseg.geometry import ideal_residue
from pymol_edseg.journal import ACCEPTED, NOTHING, Decision, Journal
from pymol_edseg.palette import class_of
from pymol_edseg.proposals import Proposal, Segmentation
from pymol_edseg.records import MapReference, ViewSettings
from pymol_edseg.resolutions import Resolutions
from pymol_edseg.tracing import at_odds, trace


@dataclass(frozen=True)
class Completion:
    """The proposals that alone are listed: what a partial model lacks, or what is doubtful.

    Attributes
    ----------
    model
        The model; empty for doubts about the proposals themselves.
    images
        The proposals, by their ids, and the symmetry copies that lie beside the model or in it.
    slots
        Chain and number that those in a gap of the model would have.
    doubts
        What is doubtful, in words, if that is what is listed.
    """

    model: str
    images: Mapping[int, Image]
    slots: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    doubts: Mapping[int, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        images = [[number, image.operation, list(image.shift)] for number, image in self.images.items()]
        slots = [[number, *slot] for number, slot in self.slots.items()]
        return {"model": self.model, "images": images, "slots": slots, "doubts": list(self.doubts.items())}

    @classmethod
    def from_json(cls, stored: Any, known: Collection[int], crystal: Crystal) -> Completion:
        """Read what `to_json` made; raises an error of `checked.DAMAGE`."""
        images: dict[int, Image] = {}
        for number, operation, shift in stored["images"]:
            u, v, w = (checked.whole(x, -1000, 1000) for x in shift)
            images[number] = Image(checked.whole(operation, 0, len(crystal.operations) - 1), (u, v, w))
        slots = {n: (checked.text(chain), checked.whole(i, -9999, 10**6)) for n, chain, i in stored["slots"]}
        doubts = {number: checked.text(said) for number, said in stored.get("doubts", ())}
        if not set(images) | set(slots) | set(doubts) <= set(known):
            raise ValueError("the completion is not of these proposals")
        model = stored["model"] if doubts and stored["model"] == "" else checked.object_name(stored["model"])
        return cls(model, images, slots, doubts)


@dataclass
class Result:
    """The proposals of one run and what the user decided about them.

    Attributes
    ----------
    name
        Name of the group of objects; the pseudo-atoms are ``NAME_sites``.
    data
        What the engine found.
    map
        The map object it was found in, if that is known.
    folder
        The run's folder, with its files; None until there is one.
    current
        The proposal visited last.
    completion
        The partial model that is to be completed, and what it lacks.
    """

    name: str
    data: Segmentation
    map: MapReference | None = None
    view: ViewSettings = field(default_factory=ViewSettings)
    journal: Journal = field(default_factory=Journal)
    folder: Path | None = None
    current: int | None = None
    completion: Completion | None = None
    #: The symmetry copies that accepted residues were put at, by model and id: there they stay.
    placed: dict[str, dict[int, Image]] = field(default_factory=dict)
    #: Where the map is drawn around, in focus (Å).
    centre: tuple[float, ...] | None = None
    #: What the surface shows: addresses of residues, and its level.
    drawn: tuple[frozenset[tuple[str, str]], float | None] | None = None
    #: The colours that the voxels have, by the addresses of residues.
    colored: dict[tuple[str, str], str] = field(default_factory=dict)
    _residues: dict[tuple[int, Image | None], dict[str, Position]] = field(default_factory=dict, repr=False)

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """The proposals, at the symmetry copies where they are shown."""
        return tuple(self.by_id.values())

    def is_listed(self, number: int) -> bool:
        """Return whether a proposal is listed and its density shown: all are, unless only some are wanted."""
        return self.completion is None or number in self.completion.images

    def is_drawn(self, number: int) -> bool:
        """Return whether the place of a proposal is to be seen: where there is no model, also of those not listed."""
        return self.is_listed(number) or not (self.completion and self.completion.model)

    def complete(self, completion: Completion | None) -> None:
        """Show only what a partial model lacks, or all again."""
        self.completion = completion
        self.__dict__.pop("by_id", None)
        self._residues.clear()
        self.placed.clear()
        self.drawn = None

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
    def surface(self) -> str:
        return f"{self.name}_surface"

    @property
    def ramp(self) -> str:
        """The ramp that gives surfaces the colours of the voxels."""
        return f"{self.name}_ramp"

    @property
    def trace(self) -> str:
        return f"{self.name}_trace"

    @property
    def here(self) -> str:
        """The pseudo-atom of the residue in focus; it exists in this view only."""
        return f"{self.name}_here"

    @property
    def part(self) -> str:
        """The surface of the residue in focus."""
        return f"{self.name}_part"

    @property
    def mesh(self) -> str:
        """The map around the centre of the view, in focus."""
        return f"{self.name}_mesh"

    @cached_property
    def crystal(self) -> Crystal:
        """The symmetry; a map without crystal has the space group P 1."""
        return Crystal(self.data.cell, self.data.spacegroup)

    @cached_property
    def stretches(self) -> list[list[int]]:
        """The ids of the proposals as stretches of chain."""
        return trace(self.data.proposals, self.crystal)

    @cached_property
    def at_odds(self) -> frozenset[int]:
        """The ids of the proposals whose votes for neighbours in the chain are not answered."""
        return at_odds(self.data.proposals, self.crystal, self.stretches)

    def residue(self, number: int, image: Image | None = None) -> Mapping[str, Position]:
        """Return the atoms (Å) of a proposal, or of a symmetry copy of it.

        They are of ideal geometry, or one CA at the centroid where atoms are not voted for.
        """
        if (number, image) not in self._residues:
            proposal = self.by_id[number]
            if image is not None:
                atoms = {name: self.crystal.move(image, xyz) for name, xyz in self.residue(number).items()}
            else:
                atoms = ideal_residue(proposal.atoms) if proposal.atoms else {"CA": proposal.position}
            self._residues[number, image] = atoms
        return self._residues[number, image]

    @cached_property
    def by_id(self) -> Mapping[int, Proposal]:
        """The proposals by their ids."""
        images = self.completion.images if self.completion else {}
        return {p.id: self._at(p, images[p.id]) if p.id in images else p for p in self.data.proposals}

    def _at(self, proposal: Proposal, image: Image) -> Proposal:
        """Return a symmetry copy of a proposal."""
        atoms = {name: self.crystal.move(image, xyz) for name, xyz in proposal.atoms.items()}
        return replace(proposal, position=self.crystal.move(image, proposal.position), atoms=atoms)

    def models(self) -> set[str]:
        """Return the models that hold accepted residues."""
        return {d.model for d in self.journal.decisions().values() if d.status == ACCEPTED and d.model}

    def decisions(self) -> dict[int, Decision]:
        """Return the decision on every proposal, also the undecided ones."""
        return dict.fromkeys((proposal.id for proposal in self.proposals), NOTHING) | dict(self.journal.decisions())

    def classes(self) -> dict[int, str]:
        """Return the class of every proposal: that of the user's identity where there is one, else rank 1."""
        decisions = self.journal.decisions()
        return {
            p.id: class_of(d.identity) if (d := decisions.get(p.id)) and d.identity else p.label for p in self.proposals
        }

    def identities(self) -> dict[int, str]:
        """Return the identity of every proposal: the user's where there is one, else the rank-1 class."""
        decisions = self.decisions()
        return {p.id: decisions[p.id].identity or p.label for p in self.proposals}


@dataclass(frozen=True)
class Doubt:
    """A place where a model disagrees with the map: its residues (chain, number), and a sentence."""

    residues: tuple[tuple[str, str], ...]
    text: str


@dataclass
class Check:
    """What disagrees in a model, in the order of its residues, and what was visited last."""

    doubts: tuple[Doubt, ...]
    current: int | None = None

    def to_json(self) -> list[list[Any]]:
        return [[doubt.text, [list(residue) for residue in doubt.residues]] for doubt in self.doubts]

    @classmethod
    def from_json(cls, stored: Any) -> Check:
        """Read what `to_json` made; raises an error of `checked.DAMAGE`."""
        doubts = []
        for said, residues in stored:
            keys = tuple((checked.text(chain), checked.text(number)) for chain, number in residues)
            doubts.append(Doubt(keys, checked.text(said)))
        return cls(tuple(doubts))


@dataclass
class State:
    """One PyMOL's state of the plugin; get it from `state_of`."""

    results: dict[str, Result] = field(default_factory=dict)
    #: By the names of the models.
    checks: dict[str, Check] = field(default_factory=dict)
    run: Run | None = None
    resolutions: Resolutions = field(default_factory=Resolutions)
    last_message: str = ""
    #: Called with a topic: "run", "results" or "decisions".
    listeners: list[Callable[[str], None]] = field(default_factory=list)

    def changed(self, topic: str) -> None:
        """Call all listeners."""
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
