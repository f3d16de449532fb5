"""Isosurfaces of the density, one object for each residue class.

All are surfaces of the same density at the same level, each carved to the voxels of the residues of its class. The
engine writes both: the voxels, moved to where the residues are, and the density around them on the map's own grid.
PyMOL computes the surfaces itself, so that they are smooth, right in cells of any shape, and kept in sessions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymol_edseg.journal import REJECTED
from pymol_edseg.objects import move, settings
from pymol_edseg.palette import LABELS, file_name
from pymol_edseg.state import Result

#: A surface belongs to the voxels nearer than this many voxel spacings: just enough to leave no gaps between classes.
CARVE = 0.87
#: Enough to see the pseudo-atoms inside.
TRANSPARENCY = 0.3
#: Standard deviations above the mean of the map, where no isosurface or mesh of it shows the user's level.
_SIGMA = 1.5


class SurfaceError(Exception):
    """There is no density to draw, in a sentence for the user."""


def surface_name(result: Result, label: str) -> str:
    return f"{result.name}_{file_name(label)}"


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


def users_level(cmd: Any, result: Result) -> float:
    """Return the level at which the user sees the map: that of its surface or mesh, else 1.5 standard deviations."""
    own = set(cmd.get_names("objects", 1)) if result.map else set()
    for kind in ("object:mesh", "object:surface"):
        for name in cmd.get_names_of_type(kind):
            if name in own and not name.startswith(f"{result.name}_"):
                states = cmd.get_session(name)["names"][0][5][2]
                for state in filter(None, states):
                    if result.map and state[1] == result.map.name:
                        return float(state[8])
    return result.data.mean + _SIGMA * result.data.sd


def draw_surfaces(cmd: Any, result: Result, labels: Collection[str] = LABELS) -> None:
    """Make the surfaces of the classes in ``result.view.shown`` anew, at ``result.level``; delete the others.

    Parameters
    ----------
    labels
        Classes whose surfaces may have changed; all others stay as they are.

    Raises
    ------
    SurfaceError
        If the result has no density.
    """
    for label in labels:
        cmd.delete(surface_name(result, label))
    if not result.view.shown:
        return
    objects = set(cmd.get_names("objects"))
    if result.voxels not in objects or result.density not in objects:
        raise SurfaceError(f"{result.name} has no density to draw: its voxels or its map are not in this session.")
    if not int(cmd.get("isosurface_algorithm")):
        # Open-source PyMOL says for each surface that it lacks the first algorithm, and takes the second.
        cmd.set("isosurface_algorithm", 1, quiet=1)
    name_voxels(cmd, result)
    level = users_level(cmd, result) if result.view.level is None else result.view.level
    result.view = replace(result.view, level=level)
    radius = CARVE * (result.data.voxel_spacing or 1.0)
    classes, decisions = result.classes(), result.decisions()
    present = {classes[p.id] for p in result.proposals if decisions[p.id].status != REJECTED}
    for label in (label for label in result.view.shown if label in present and label in labels):
        name = surface_name(result, label)
        where = f"{result.voxels} and segi {file_name(label)}"
        with settings(cmd, auto_zoom=0):
            cmd.isosurface(name, result.density, level, where, radius, 1, radius, quiet=1)
        cmd.color(f"edseg_{file_name(label)}", name)
        cmd.set("transparency", TRANSPARENCY, name, quiet=1)
        cmd.group(result.name, name, quiet=1)
        move(cmd, result, name)


def name_voxels(cmd: Any, result: Result) -> None:
    """Write the class of each voxel into its segment identifier; those of rejected residues have none."""
    classes, decisions = result.classes(), result.decisions()
    segments = {
        p.address: "" if decisions[p.id].status == REJECTED else file_name(classes[p.id]) for p in result.proposals
    }
    cmd.alter(result.voxels, "segi = segments[chain, resi]", space={"segments": segments})


def set_level(cmd: Any, result: Result, level: float) -> None:
    """Move the surfaces that are shown to another level."""
    result.view = replace(result.view, level=level)
    for label in result.view.shown:
        name = surface_name(result, label)
        if name in cmd.get_names("objects"):
            cmd.isolevel(name, level)
