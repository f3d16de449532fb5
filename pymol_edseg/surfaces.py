"""The density of a result: one isosurface, carved to the voxels of its residues and coloured as they are.

The engine writes both: the voxels, moved to where the residues are, and the density around them on the map's own grid.
PyMOL computes the surface itself, so that it is smooth, right in cells of any shape, and kept in sessions. A ramp over
the voxels gives each vertex the colour of the nearest one: classes meet without seams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymol_edseg.journal import UNDECIDED
from pymol_edseg.objects import move, settings, voxels_of
from pymol_edseg.palette import file_name
from pymol_edseg.records import MapReference
from pymol_edseg.state import Result

#: A surface belongs to the voxels nearer than this many voxel spacings: enough to leave no gaps between them, and few
#: holes where it ends.
CARVE = 1.1
#: The same with so many residues or more, of which a surface takes long: just enough to leave no gaps.
_CARVE_MANY, _MANY = 0.87, 1000
#: Enough to see the pseudo-atoms inside.
TRANSPARENCY = 0.3
#: Standard deviations above the mean of the map, where no isosurface or mesh of it shows the user's level.
SIGMA = 1.5
#: A vertex has the colour of the nearest voxel within this multiple of the radius of carving; more takes longer.
_RAMP = 1.3


class SurfaceError(Exception):
    """There is no density to draw, in a sentence for the user."""


def load_density(cmd: Any, result: Result, folder: Path) -> None:
    """Load the voxels and the density of a result, hidden, if the engine wrote them."""
    if not (folder / "voxels.pdb").exists() or not (folder / "density.ccp4").exists():
        return
    with settings(cmd, connect_mode=1, normalize_ccp4_maps=0, auto_zoom=0, auto_show_nonbonded=0, auto_show_lines=0):
        cmd.load(str(folder / "voxels.pdb"), result.voxels, zoom=0, quiet=1)
        # As MRC, PyMOL respects the origin of maps without a crystal.
        cmd.load(str(folder / "density.ccp4"), result.density, format="mrc", zoom=0, quiet=1)
    cmd.hide("everything", result.voxels)
    cmd.disable(result.voxels)
    cmd.disable(result.density)
    cmd.group(result.name, f"{result.voxels} {result.density}", quiet=1)


def drawings(cmd: Any, density: MapReference | None, own: str) -> Iterator[tuple[str, float, bool]]:
    """Yield the user's meshes and surfaces of a map that are shown: name, level, and whether it is of all the map.

    Parameters
    ----------
    own
        How the plugin's own begin.
    """
    shown = set(cmd.get_names("objects", 1)) if density else set()
    for kind in ("object:mesh", "object:surface"):
        for name in cmd.get_names_of_type(kind):
            if name in shown and not name.startswith(own):
                states = cmd.get_session(name)["names"][0][5][2]
                for state in filter(None, states):
                    if density and state[1] == density.name:
                        # Carved or drawn around a selection, it has the positions of atoms.
                        yield name, float(state[8]), not any(isinstance(part, list) for part in state[11:13])


def hide_cell(cmd: Any, density: MapReference | None, own: str) -> None:
    """Hide meshes and surfaces of a whole map, which would hide what was found in it."""
    for name, _, whole in list(drawings(cmd, density, own)):
        if whole:
            cmd.disable(name)


def users_level(cmd: Any, result: Result) -> float:
    """Return the level at which the user sees the map: that of its mesh or surface, else 1.5 standard deviations."""
    for _, level, _ in drawings(cmd, result.map, f"{result.name}_"):
        mean, sd = map_scale(cmd, result)
        return result.data.mean + result.data.sd * (level - mean) / sd
    return result.data.mean + SIGMA * result.data.sd


def map_scale(cmd: Any, result: Result) -> tuple[float, float]:
    """Return mean and standard deviation of the map object: PyMOL may have normalised what the engine read."""
    data = result.data
    if not result.map or result.map.state > 1 or result.map.name not in cmd.get_names_of_type("object:map"):
        return data.mean, data.sd or 1.0
    mean, sd = cmd.get_volume_histogram(result.map.name, 1)[2:4]
    return (mean, sd) if sd > 0 and max(abs(mean - data.mean), abs(sd - data.sd)) > 0.01 * sd else (data.mean, data.sd)


def level_of(cmd: Any, result: Result) -> float:
    """Return the level of the surface, which is found where there is none yet."""
    if result.view.level is None:
        result.view = replace(result.view, level=users_level(cmd, result))
    level = result.view.level
    assert level is not None
    return level


def draw_surface(cmd: Any, result: Result) -> None:
    """Make the surface of the undecided residues of the classes in ``result.view.shown`` anew, unless it is as wanted.

    Raises
    ------
    SurfaceError
        If the result has no density.
    """
    names = _class_names(result)
    wanted = (frozenset(address for address, name in names.items() if name), result.view.level)
    exists = result.surface in cmd.get_names("objects")
    if not wanted[0]:
        cmd.delete(result.surface)
        result.drawn = None
    elif not exists or result.drawn != wanted:
        check_density(cmd, result)
        wanted = wanted[0], level_of(cmd, result)
        cmd.delete(result.surface)
        # Only what is to be seen has a segment identifier.
        changed = wanted[0] ^ result.drawn[0] if result.drawn else names.keys()
        cmd.alter(voxels_of(result, changed), "segi = names.get((chain, resi), '')", space={"names": names})
        carved_surface(cmd, result, result.surface, f"%{result.voxels} and not segi ''")
        result.drawn = wanted


def check_density(cmd: Any, result: Result) -> None:
    """Raise `SurfaceError` if a result has no density."""
    if not {result.voxels, density_of(cmd, result)[0]} <= set(cmd.get_names("objects")):
        raise SurfaceError(f"{result.name} has no density to draw: its voxels or its map are not in this session.")


def density_of(cmd: Any, result: Result) -> tuple[str, float]:
    """Return the map that surfaces are of, and their level in it.

    Away from where the engine found the residues, it is the user's map, which PyMOL expands by symmetry.
    """
    level = level_of(cmd, result)
    if result.completion and result.map and result.map.name in cmd.get_names("objects"):
        return result.map.name, level_in_map(cmd, result, level)
    return result.density, level


def level_in_map(cmd: Any, result: Result, level: float) -> float:
    """Return a level of the density in the units of the user's map."""
    mean, sd = map_scale(cmd, result)
    return mean + sd * (level - result.data.mean) / (result.data.sd or 1.0)


def carved_surface(cmd: Any, result: Result, name: str, where: str) -> None:
    """Make a surface of the density that belongs to a selection of voxels, in their colours."""
    # Open-source PyMOL says for each surface that it lacks algorithm 0, and takes 1. That ends PyMOL in parts of a map
    # that are expanded by symmetry, where 2, though slower, does not.
    algorithm = 2 if result.completion else 1
    if int(cmd.get("isosurface_algorithm")) < algorithm:
        cmd.set("isosurface_algorithm", algorithm, quiet=1)
    if int(cmd.get("two_sided_lighting")) < 0:
        # The insides, where a surface is cut, are black in ray-traced pictures unless this is set for all objects.
        cmd.set("two_sided_lighting", 1, quiet=1)
    radius = (CARVE if len(result.proposals) < _MANY else _CARVE_MANY) * (result.data.voxel_spacing or 1.0)
    with settings(cmd, auto_zoom=0, auto_hide_selections=0):
        if result.ramp not in cmd.get_names("objects"):
            cmd.ramp_new(result.ramp, result.voxels, [0, _RAMP * radius], ["atomic", "atomic"], quiet=1)
            cmd.disable(result.ramp)
        density, level = density_of(cmd, result)
        state = result.map.state if result.map and density == result.map.name else 1
        cmd.isosurface(name, density, level, where, radius, 1, radius, state, quiet=1)
    cmd.color(result.ramp, name)
    cmd.set("transparency", TRANSPARENCY, name, quiet=1)
    cmd.group(result.name, f"{name} {result.ramp}", quiet=1)
    move(cmd, result, name)


def _class_names(result: Result) -> dict[tuple[str, str], str]:
    """Return the class of each residue that is to be seen in the surface; the others have none."""
    classes, decisions, shown = result.classes(), result.decisions(), set(result.view.shown)
    return {
        p.address: file_name(classes[p.id]) if visible else ""
        for p in result.proposals
        for visible in [decisions[p.id].status == UNDECIDED and classes[p.id] in shown and result.is_listed(p.id)]
    }


def set_level(cmd: Any, result: Result, level: float) -> None:
    """Move what is drawn of the density to another level."""
    result.view = replace(result.view, level=level)
    of_surface, of_map = density_of(cmd, result)[1], level_in_map(cmd, result, level)
    objects = set(cmd.get_names("objects"))
    for name, value in ((result.surface, of_surface), (result.part, of_surface), (result.mesh, of_map)):
        if name in objects:
            cmd.isolevel(name, value)
    if result.drawn:
        result.drawn = result.drawn[0], level
