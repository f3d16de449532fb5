"""Models that the engine has built: their files, and how PyMOL shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymol_edseg import checked
from pymol_edseg.crystal import pymol_symbol
from pymol_edseg.engine_process import Run, Task
from pymol_edseg.objects import color_residues, free_name, scale_color, settings
from pymol_edseg.proposals import read_cell, read_space_group
from pymol_edseg.state import state_of
from pymol_edseg.surfaces import hide_cell

SCHEMA = "edseg-build/1"
MODEL_MAP = "model.ccp4"
#: How models are named, and what follows the name in those of the objects: the model, its map and the mesh of that.
STEM, PARTS = "built", ("", "_map", "_mesh")
_GREY = "#9A9A9A"
#: Å around the atoms, and standard deviations, of the mesh that shows the density.
_CARVE, _SIGMA = 2.0, 1.5


def convert_map(run: Run) -> None:
    """Let the engine write the map of the model, which PyMOL reads; without amplitudes there is none."""
    reflections = run.results / "model.mtz"
    if reflections.exists():
        run.engine.convert(reflections, run.results / MODEL_MAP, (), lambda: None)


def finish_build(cmd: Any, run: Run) -> str:
    """Show a model and its map; raises ValueError if its files cannot be read."""
    try:
        data = checked.document(run.results / "build.json", SCHEMA)
        residues = {(str(r["chain"]), str(r["number"])): _probability(r) for r in data["residues"]}
        chains = data["chains"]
        built = sum(checked.whole(chain["built"], 0, 10**6) for chain in chains)
        length = sum(len(checked.text(chain["sequence"])) for chain in chains)
        crystal = read_cell(data["cell"]), read_space_group(data["spacegroup"])
        r_work, r_free, d_min = (checked.optional(checked.number, data[k]) for k in ("r_work", "r_free", "resolution"))
        run.warnings = tuple(map(checked.text, data["warnings"]))
    except (OSError, *checked.DAMAGE) as error:
        raise ValueError(f"The model in {run.results} cannot be read: {error}.") from error
    # In the hours that this may take, the user may have made something of that name.
    run.name = free_name(cmd, STEM, PARTS, run.name)
    cmd.load(str(run.results / "model.cif"), run.name, zoom=0, quiet=1)
    cmd.set_symmetry(run.name, *crystal[0], pymol_symbol(crystal[1]), quiet=1)
    _show_model(cmd, run.name)
    color_by_probability(cmd, run.name, residues)
    if (run.results / MODEL_MAP).exists():
        _show_map(cmd, run, d_min)
    hide_cell(cmd, run.map, f"{run.name}_")
    if int(cmd.get("auto_zoom")):
        cmd.zoom(f"%{run.name}", 3)
    if run.map.moved:
        for name in {run.name + part for part in PARTS} & set(cmd.get_names("objects")):
            cmd.set_object_ttt(name, list(run.map.moved))
    fit = "not refined, for want of amplitudes" if r_free is None else f"R {r_work:.3f}, R-free {r_free:.3f}"
    return f"{built} of {length} residues built, {fit}. Files: {run.results}"


def _probability(residue: Mapping[str, Any]) -> float | None:
    return checked.optional(lambda p: checked.number(p, 0, 1), residue["docking_probability"])


def _show_model(cmd: Any, name: str) -> None:
    cmd.hide("everything", name)
    cmd.show("cartoon", f"%{name} and polymer")
    cmd.show("sticks", f"%{name} and polymer and not hydro")
    cmd.show("nonbonded", f"%{name} and solvent")
    cmd.set("stick_radius", 0.12, name, quiet=1)
    cmd.set("cartoon_transparency", 0.5, name, quiet=1)


def color_by_probability(cmd: Any, name: str, values: Mapping[tuple[str, str], float | None]) -> None:
    """Colour the carbon atoms of a model by a probability of each residue; grey where there is none."""
    colors = {key: _GREY if value is None else scale_color(value) for key, value in values.items()}
    color_residues(cmd, f"%{name} and elem C", colors, _GREY)
    cmd.color("atomic", f"%{name} and not elem C")


def _show_map(cmd: Any, run: Run, d_min: float | None) -> None:
    density, mesh = (run.name + part for part in PARTS[1:])
    with settings(cmd, normalize_ccp4_maps=1, auto_zoom=0):
        cmd.load(str(run.results / MODEL_MAP), density, zoom=0, quiet=1)
        cmd.isomesh(mesh, density, _SIGMA, f"%{run.name}", carve=_CARVE, quiet=1)
    cmd.color("grey60", mesh)
    (run.results / MODEL_MAP).unlink()
    if d_min is not None:
        state_of(cmd).resolutions.remember(cmd, density, d_min)


BUILD = Task(
    "build",
    "Building into",
    {
        "read": ("Reading the map", 0.02),
        "segment": ("Locating residues", 0.15),
        "trace": ("Tracing the chains", 0.05),
        "build": ("Building the model", 0.28),
        "refine": ("Refining", 0.25),
        "polish": ("Polishing", 0.15),
        "validate": ("Validating", 0.03),
        "write": ("Writing the model", 0.02),
    },
    finish_build,
    convert_map,
)
