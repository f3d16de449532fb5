"""The PyMOL objects of a result: labelled pseudo-atoms at the centroids, coloured and labelled as the user wants."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from chempy import Atom, Bond
from chempy.models import Indexed

from pymol_edseg.journal import ACCEPTED, REJECTED
from pymol_edseg.label_format import format_label
from pymol_edseg.palette import COLORS, GROUP_COLORS, GROUP_OF, file_name, pdb_name, rgb
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result, state_of

#: In focus, proposals nearer (Å) than this are shown.
_NEIGHBOURS = 12.0
_NEAR = "_edseg_near"
#: Greatest distance (Å) between the CA of neighbours that a line connects.
_LINK = 5.0
#: Colours of low, middle and high confidence: a scale that the colour-blind read, too (cividis).
_GREY = "#505050"
#: Up to so many residues are selected faster by their numbers than by going through all atoms.
_FEW = 100
_REJECTED = "#9A9A9A"
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
    with settings(cmd, auto_hide_selections=0):  # the user's own selection stays as it is
        cmd.load_model(model, name, zoom=0)


def draw_sites(cmd: Any, result: Result) -> None:
    """Make the pseudo-atoms of a result anew."""
    classes = result.classes()
    load_atoms(cmd, result.sites, (atom(p, classes[p.id]) for p in result.proposals))
    cmd.hide("everything", result.sites)
    cmd.set("sphere_scale", 0.35, result.sites)
    cmd.set("nonbonded_size", 0.6, result.sites)
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
    # Where a model has the atoms, a large sphere would hide them.
    values = {
        p.address: (
            pdb_name(d.identity or classes[p.id]),
            0.35 if d.status != ACCEPTED else 0.2 if p.atoms else 0.6,
        )
        for p in result.proposals
        for d in [decisions[p.id]]
    }
    cmd.alter(
        f"%{result.sites}", "resn, s.sphere_scale = values.get((chain, resi), (resn, 0))", space={"values": values}
    )
    color_result(cmd, result)
    show_sites(cmd, result)


def show_sites(cmd: Any, result: Result) -> None:
    """Show and label all pseudo-atoms or, in focus, those around the current one, which has an object of its own.

    Rejected ones are crosses.
    """
    number = focused(cmd, result)
    near = None if number is None else _around(result, number)
    texts = labels(result, near)
    cmd.alter(f"%{result.sites}", "label = texts.get((chain, resi), '')", space={"texts": texts})
    cmd.show("labels", f"%{result.sites}")
    shown = {p.address for p in result.proposals if result.is_drawn(p.id) and (near is None or p.id in near)}
    cmd.hide("spheres nonbonded", f"%{result.sites}")
    rejected = {result.by_id[n].address for n, d in result.journal.decisions().items() if d.status == REJECTED}
    for residues, look in ((shown - rejected, "spheres"), (shown & rejected, "nonbonded")):
        if residues:
            select_residues(cmd, _NEAR, result.sites, residues)
            cmd.show(look, f"?{_NEAR}")
            cmd.delete(_NEAR)
    cmd.rebuild(result.sites)


def focused(cmd: Any, result: Result) -> int | None:
    """Return the id of the residue in focus; None in the overview."""
    if result.here not in cmd.get_names("objects"):
        return None
    found: set[tuple[str, str]] = set()
    cmd.iterate(f"%{result.here}", "found.add((chain, resi))", space={"found": found})
    return next((p.id for p in result.proposals if p.address in found), None)


def _around(result: Result, number: int) -> set[int]:
    here = result.by_id[number].position
    return {p.id for p in result.proposals if p.id != number and math.dist(here, p.position) < _NEIGHBOURS}


def draw_trace(cmd: Any, result: Result) -> None:
    """Draw a line along what are likely neighbours in the chain, so that one sees the fold."""
    shown = [p for p in result.proposals if p.atoms and result.is_drawn(p.id)]
    index = {p.id: i for i, p in enumerate(shown)}
    pairs = [pair for stretch in result.stretches for pair in itertools.pairwise(stretch) if index.keys() >= set(pair)]
    places = {p.id: p.anchor for p in shown}
    # Neighbours by symmetry may lie far apart.
    bonds = [(index[a], index[b], 1) for a, b in pairs if math.dist(places[a], places[b]) < _LINK]
    cmd.delete(result.trace)
    if not bonds:
        return
    atoms = [atom(p, p.label) for p in shown]
    for made, p in zip(atoms, shown, strict=True):
        made.coord = list(p.anchor)
    load_atoms(cmd, result.trace, atoms, bonds)
    cmd.hide("everything", result.trace)
    cmd.show("sticks", f"%{result.trace}")
    cmd.set("stick_radius", 0.1, result.trace)
    cmd.color("grey70", result.trace)
    cmd.group(result.name, result.trace, quiet=1)
    move(cmd, result, result.trace)


def color_result(cmd: Any, result: Result) -> None:
    """Colour pseudo-atoms, voxels and surfaces by ``view.color``: class, confidence or property."""
    objects = set(cmd.get_names("objects"))
    colors = site_colors(result)
    color_residues(cmd, f"%{result.sites}", colors, _GREY)
    if result.here in objects:
        color_residues(cmd, f"%{result.here} and elem C", colors, _GREY)
    changed = {address for address, color in colors.items() if result.colored.get(address) != color}
    if result.voxels not in objects or not changed:
        return
    color_residues(cmd, voxels_of(result, changed), colors, _GREY)
    result.colored = colors
    if result.drawn and result.drawn[0] & changed and result.surface in objects:
        cmd.recolor(result.surface)
    if result.part in objects:
        cmd.recolor(result.part)


def voxels_of(result: Result, residues: Collection[tuple[str, str]]) -> str:
    """Return a selection of the voxels of at least these residues (chain, number)."""
    if len(residues) > _FEW:
        return f"%{result.voxels}"
    numbers: dict[str, list[str]] = defaultdict(list)
    for chain, number in residues:
        numbers[chain].append(number)
    parts = " or ".join(f"chain {chain} and resi {'+'.join(found)}" for chain, found in numbers.items())
    return f"%{result.voxels} and ({parts or 'none'})"


def site_colors(result: Result) -> dict[tuple[str, str], str]:
    """Return the hex colour of every proposal, by its address."""
    mode, classes = result.view.color, result.classes()
    if mode == "confidence":
        low, high = confidence_range(result)
        values = {p.id: scale_color((p.confidence - low) / ((high - low) or 1.0)) for p in result.proposals}
    else:
        table = GROUP_COLORS if mode == "property" else COLORS
        values = {number: table[GROUP_OF[c] if mode == "property" else c] for number, c in classes.items()}
    values |= {number: _REJECTED for number, d in result.journal.decisions().items() if d.status == REJECTED}
    return {p.address: values[p.id] for p in result.proposals}


def confidence_range(result: Result) -> tuple[float, float]:
    """Return the ends of the scale of colours: confidences that a twentieth of the proposals fall below or exceed."""
    values = sorted(p.confidence for p in result.proposals) or [0.0, 1.0]
    cut = len(values) // 20
    return values[cut], values[-1 - cut]


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
    with settings(cmd, auto_hide_selections=0):
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


def labels(result: Result, near: Collection[int] | None = None) -> dict[tuple[str, str], str]:
    """Return the label of every proposal by its address, after ``view.label`` and ``view.min_confidence``.

    Parameters
    ----------
    near
        In focus, the ids of the current residue's neighbours, which alone have labels.
    """
    view, decisions = result.view, result.decisions()
    texts = {}
    for p in result.proposals:
        decision = decisions[p.id]
        shown = p.id in near if near is not None else view.label != "focus"
        shown &= result.is_drawn(p.id)
        shown &= 100 * p.confidence >= view.min_confidence and decision.status != REJECTED
        texts[p.address] = format_label(view.label, p, decision.identity) if shown else ""
    return texts
