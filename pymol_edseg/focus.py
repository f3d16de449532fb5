"""Two views of a result: the focus on one residue, to decide about it, and the overview of all."""

from __future__ import annotations

import math
from typing import Any

from pymol_edseg.console import application
from pymol_edseg.label_format import format_label
from pymol_edseg.model import BONDS, residue_atoms
from pymol_edseg.objects import atom, color_result, focused, load_atoms, move, settings, show_sites
from pymol_edseg.state import Result
from pymol_edseg.surfaces import SIGMA, carved_surface, draw_surface, level_in_map, level_of

#: The map is drawn this far (Å) around the centre of the view, and anew where that has moved by the second.
RADIUS, _MOVED = 9.0, 1.5
#: Å from the centre to the edge of the view, and thickness of what is seen of it.
_ZOOM, SLAB = 9.0, 12.0
#: Of the residue in focus.
_LOOK = {
    "sphere_scale": 0.3,
    "stick_radius": 0.15,
    "label_size": 22,
    "label_font_id": 7,
    "label_position": [0, 3.2, 4],
    "label_color": "front",
    "label_outline_color": "back",
}
#: Darker than the surface of the residue, which it surrounds.
_MESH_COLOR = "0x4A4E8C"
_CENTRE = "_edseg_centre"
#: What follows the name of a map in that of its mesh.
MESH = "_mesh"


def show_focus(cmd: Any, result: Result, number: int) -> None:
    """Show a residue alone: its atoms and own density, the map around it, and the names of its neighbours."""
    entered = focused(cmd, result) is None
    proposal = result.by_id[number]
    result.current = number
    view = cmd.get_view()
    _draw_residue(cmd, result, number)
    for name, value in _LOOK.items():
        cmd.set(name, value, result.here)
    move(cmd, result, result.here)
    cmd.group(result.name, result.here, quiet=1)
    cmd.disable(result.surface)
    _draw_part(cmd, result, number)
    label_focus(cmd, result)
    color_result(cmd, result)
    show_sites(cmd, result)
    _look(cmd, result, view, entered)
    draw_mesh(cmd, result, list(proposal.position))


def _draw_residue(cmd: Any, result: Result, number: int) -> None:
    """Make the pseudo-atom of a residue, and the atoms that a model would get of it."""
    proposal, identity = result.by_id[number], result.identities()[number]
    atoms = residue_atoms(proposal, identity, result.residue(number)) if proposal.atoms else []
    index = {made.name: i for i, made in enumerate(atoms)}
    bonds = ((index[a], index[b], order) for a, b, order in BONDS if a in index and b in index)
    load_atoms(cmd, result.here, [*atoms, atom(proposal, identity)], bonds)
    cmd.hide("everything", result.here)
    cmd.show("sticks", result.here)
    cmd.show("spheres", _centre_of(result))


def _centre_of(result: Result) -> str:
    """Return the selection of the pseudo-atom of the residue in focus."""
    return f"%{result.here} and not bonded"


def label_focus(cmd: Any, result: Result) -> None:
    """Label the residue in focus with its three ranks, whatever the others have."""
    number = focused(cmd, result)
    if number is not None:
        identity = result.decisions()[number].identity
        text = format_label("ranks", result.by_id[number], identity)
        cmd.alter(_centre_of(result), "label = text", space={"text": text})
        cmd.show("labels", f"%{result.here}")
        cmd.rebuild(result.here)


def _draw_part(cmd: Any, result: Result, number: int) -> None:
    """Make the surface of a residue's own voxels."""
    cmd.delete(result.part)
    if {result.voxels, result.density} <= set(cmd.get_names("objects")):
        chain, resi = result.by_id[number].address
        carved_surface(cmd, result, result.part, f"%{result.voxels} and chain {chain} and resi {resi}")
        cmd.set("transparency", 0.35, result.part, quiet=1)  # the atoms are inside


def draw_mesh(cmd: Any, result: Result, centre: list[float]) -> None:
    """Draw the map around a position (Å, in the map's own frame)."""
    objects = set(cmd.get_names("objects"))
    name = result.map.name if result.map and result.map.name in objects else result.density
    if name not in objects:
        return
    level = level_of(cmd, result)
    if name != result.density:
        level = level_in_map(cmd, result, level)
    cmd.delete(result.mesh)
    with settings(cmd, auto_zoom=0, auto_hide_selections=0):
        cmd.pseudoatom(_CENTRE, pos=centre, quiet=1)
        state = result.map.state if result.map and name == result.map.name else 1
        cmd.isomesh(result.mesh, name, level, _CENTRE, RADIUS, 1, RADIUS, state, quiet=1)
        cmd.delete(_CENTRE)
    cmd.color(_MESH_COLOR, result.mesh)
    cmd.set("mesh_width", 0.6, result.mesh)
    cmd.group(result.name, result.mesh, quiet=1)
    move(cmd, result, result.mesh)
    result.centre = tuple(centre)


def show_map(cmd: Any, name: str) -> None:
    """Draw a map that was just loaded, and look at it."""
    mean, sd = cmd.get_volume_histogram(name, 1)[2:4]
    cmd.isomesh(name + MESH, name, mean + SIGMA * sd, quiet=1)
    cmd.color(_MESH_COLOR, name + MESH)
    if int(cmd.get("auto_zoom")):
        cmd.zoom(name)


def follow_centre(cmd: Any, result: Result) -> None:
    """Draw the map anew if the user has moved the centre of the focus away from it."""
    if focused(cmd, result) is not None and not (result.map and result.map.moved):
        centre = cmd.get_position()
        if result.centre is None or math.dist(centre, result.centre) > _MOVED:
            draw_mesh(cmd, result, centre)


def _look(cmd: Any, result: Result, view: tuple[float, ...], entered: bool) -> None:
    """Centre the residue in focus; keep the user's zoom and slab within the focus."""
    if entered or view[16] - view[15] > 4 * SLAB:
        cmd.zoom(_centre_of(result), _ZOOM)
        cmd.clip("slab", SLAB)
    else:
        cmd.center(_centre_of(result))
    if application():
        there = cmd.get_view()
        cmd.set_view(view)
        cmd.set_view(there, animate=0.25)


def leave_focus(cmd: Any, result: Result) -> None:
    """Delete what is shown in focus alone."""
    for name in (result.here, result.part, result.mesh):
        cmd.delete(name)
    result.centre = None


def show_overview(cmd: Any, result: Result) -> None:
    """Show all of a result; raises `SurfaceError` if it has no density to draw."""
    leave_focus(cmd, result)
    show_sites(cmd, result)
    cmd.zoom(f"rep spheres and %{result.sites}", 3, animate=0.25 if application() else 0)
    refresh_surface(cmd, result)


def refresh_surface(cmd: Any, result: Result) -> None:
    """Draw the surface as it is wanted now, unless it is hidden behind the focus; raises `SurfaceError`."""
    if focused(cmd, result) is None:
        draw_surface(cmd, result)
        cmd.enable(result.surface)
