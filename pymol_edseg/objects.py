"""The PyMOL objects of a result: labelled pseudo-atoms at the centroids, coloured and labelled as the user wants."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from chempy import Atom, Bond
from chempy.models import Indexed

from pymol_edseg.journal import ACCEPTED, REJECTED
from pymol_edseg.label_format import format_label
from pymol_edseg.palette import COLORS, GROUP_COLORS, GROUP_OF, file_name, pdb_name, rgb
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result, state_of

#: Colours of low, middle and high confidence: a scale that the colour-blind read, too (cividis).
_GREY = "#505050"
CONFIDENCE_SCALE = ((0.0, "#00224E"), (0.5, "#7D7C78"), (1.0, "#FEE838"))


@contextlib.contextmanager
def settings(cmd: Any, **values: int) -> Iterator[None]:
    """Set some of PyMOL's settings for a while."""
    before = {name: cmd.get(name) for name in values}
    for name, value in values.items():
        cmd.set(name, value, quiet=1)
    try:
        yield
    finally:
        for name, old in before.items():
            cmd.set(name, old, quiet=1)


def taken_names(cmd: Any) -> set[str]:
    """Return the names that new objects cannot have, in lower case; that of what a run will make is one."""
    run = state_of(cmd).run
    coming = [run.name] if run is not None and run.active else []
    return {name.lower() for name in (*cmd.get_names("all"), *coming)}


def free_name(cmd: Any, stem: str, parts: Sequence[str] = ("",), wanted: str = "") -> str:
    """Return the name that is wanted, or else the first of stem_1, stem_2, ... that is free with all its parts."""
    taken = taken_names(cmd)
    names = itertools.chain([wanted] if wanted else [], (f"{stem}_{i}" for i in itertools.count(1)))
    return next(name for name in names if not any((name + part).lower() in taken for part in parts))


def define_colors(cmd: Any) -> None:
    """Give PyMOL the palette as named colours ``edseg_ALA`` ... and ``edseg_aromatic`` ..."""
    for name, color in (COLORS | GROUP_COLORS).items():
        cmd.set_color(f"edseg_{file_name(name)}", list(rgb(color)), quiet=1)


def atom(proposal: Proposal, identity: str) -> Any:
    """Return the pseudo-atom of a proposal."""
    chain, number = proposal.address
    made = Atom()
    made.name, made.symbol, made.resn, made.hetatm = "CA", "C", pdb_name(identity), 0
    made.chain, made.resi, made.resi_number = chain, number, int(number)
    made.b, made.q = 100 * proposal.confidence, 1.0
    made.coord = list(proposal.position)
    return made


def load_atoms(cmd: Any, name: str, atoms: Iterable[Any], bonds: Iterable[tuple[int, int, int]] = ()) -> None:
    """Make an object of atoms without moving the view; bonds are two indices and an order each."""
    model = Indexed()
    model.atom = list(atoms)
    for first, second, order in bonds:
        bond = Bond()
        bond.index, bond.order = [first, second], order
        model.bond.append(bond)
    cmd.delete(name)
    cmd.load_model(model, name, zoom=0)


def draw_sites(cmd: Any, result: Result) -> None:
    """Make the pseudo-atoms of a result anew."""
    classes = result.classes()
    load_atoms(cmd, result.sites, (atom(p, classes[p.id]) for p in result.proposals))
    cmd.hide("everything", result.sites)
    cmd.show("spheres", result.sites)
    cmd.set("sphere_scale", 0.35, result.sites)
    cmd.set("label_color", "front", result.sites)
    cmd.set("label_outline_color", "back", result.sites)
    cmd.set("label_size", 14, result.sites)
    cmd.set("label_position", [0, 0, 3], result.sites)
    cmd.group(result.name, result.sites, quiet=1)
    move(cmd, result, result.sites)


def move(cmd: Any, result: Result, name: str) -> None:
    """Put an object where the user has moved the map to."""
    if result.map and result.map.moved:
        cmd.set_object_ttt(name, list(result.map.moved))


def update_sites(cmd: Any, result: Result) -> None:
    """Name, colour, label and size the pseudo-atoms after the state of their proposals."""
    classes, decisions = result.classes(), result.decisions()
    texts = labels(result)
    scale = {ACCEPTED: 0.6, REJECTED: 0.15}
    # Where a model has the atoms, a large sphere would hide them.
    values = {
        p.address: (
            pdb_name(d.identity or classes[p.id]),
            texts[p.id],
            0.2 if p.atoms and d.status == ACCEPTED else scale.get(d.status, 0.35),
        )
        for p in result.proposals
        for d in [decisions[p.id]]
    }
    cmd.alter(result.sites, "resn, label, s.sphere_scale = values[chain, resi]", space={"values": values})
    cmd.show("labels", result.sites)
    color_sites(cmd, result)
    cmd.rebuild(result.sites)


def color_sites(cmd: Any, result: Result) -> None:
    """Colour the pseudo-atoms by ``view.color``: class, confidence or property."""
    mode, classes = result.view.color, result.classes()
    if mode == "confidence":
        values = {p.id: scale_color(p.confidence) for p in result.proposals}
    else:
        table = GROUP_COLORS if mode == "property" else COLORS
        values = {number: table[GROUP_OF[c] if mode == "property" else c] for number, c in classes.items()}
    values |= {number: _GREY for number, d in result.journal.decisions().items() if d.status == REJECTED}
    color_residues(cmd, f"%{result.sites}", {p.address: values[p.id] for p in result.proposals}, _GREY)


def color_residues(cmd: Any, selection: str, colors: Mapping[tuple[str, str], str], other: str) -> None:
    """Colour atoms by hex colours of their residues (chain, number); those of other residues have one, too."""
    # PyMOL takes 0x40RRGGBB for a colour without a name.
    numbers = {key: 0x40000000 + int(color[1:], 16) for key, color in colors.items()}
    space = {"numbers": numbers, "other": 0x40000000 + int(other[1:], 16)}
    cmd.alter(selection, "color = numbers.get((chain, resi), other)", space=space)
    cmd.recolor(selection)


def select_residues(cmd: Any, selection: str, model: str, residues: Collection[tuple[str, str]]) -> int:
    """Select residues (chain, number) of an object, whatever their names; return the number of atoms."""
    atoms: list[tuple[tuple[str, str], int]] = []
    cmd.iterate(f"%{model}", "atoms.append(((chain, resi), index))", space={"atoms": atoms})
    chosen = [index for key, index in atoms if key in residues]
    cmd.select_list(selection, model, chosen, mode="index")
    cmd.disable(selection)
    return len(chosen)


def scale_color(value: float, scale: Sequence[tuple[float, str]] = CONFIDENCE_SCALE) -> str:
    """Return the hex colour of a probability."""
    for (low, first), (high, last) in itertools.pairwise(scale):
        if value <= high:
            share = max(0.0, (value - low) / (high - low))
            mixed = (round(255 * (a + (b - a) * share)) for a, b in zip(rgb(first), rgb(last), strict=True))
            return "#" + "".join(f"{x:02X}" for x in mixed)
    return scale[-1][1]


def labels(result: Result) -> dict[int, str]:
    """Return the label of every proposal, after ``view.label`` and ``view.min_confidence``."""
    decisions = result.decisions()
    texts = {}
    for p in result.proposals:
        decision = decisions[p.id]
        shown = 100 * p.confidence >= result.view.min_confidence and decision.status != REJECTED
        texts[p.id] = format_label(result.view.label, p, decision.identity) if shown else ""
    return texts
