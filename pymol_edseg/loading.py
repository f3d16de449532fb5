"""Showing results that are on disk: of a run that has just ended, of an earlier one, or of the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pymol_edseg import storage
from pymol_edseg.completion import complete
from pymol_edseg.console import complain
from pymol_edseg.engine_process import Run, Task
from pymol_edseg.model import update_models
from pymol_edseg.objects import define_colors, draw_sites, draw_trace, free_name, update_sites
from pymol_edseg.palette import LABELS
from pymol_edseg.proposals import read_result
from pymol_edseg.records import MapReference, ViewSettings
from pymol_edseg.session import damage, decisions_from_json, is_run, store_decisions
from pymol_edseg.state import Result, state_of
from pymol_edseg.surfaces import SurfaceError, draw_surface, hide_cell, load_density

#: How results are named.
STEM = "edseg"


def load(cmd: Any, name: str, folder: Path, map_reference: MapReference | None = None) -> Result:
    """Show the results in a folder: of a run, with its journal, or an output directory of the command line.

    Raises
    ------
    ValueError
        If they cannot be read. A damaged journal is no reason: what is sound of it is taken.
    """
    results = folder / storage.RESULT if (folder / storage.RESULT).is_dir() else folder
    data = read_result(results)
    lost: list[str] = []
    try:
        stored = storage.read_journal(folder)
    except ValueError:
        stored = {}
    if stored is None:
        result = Result(name, data, map_reference, ViewSettings(shown=LABELS))
    else:
        result = decisions_from_json(name, data, stored, lost)
    if is_run(folder):
        result.folder = folder
    if lost:
        complain(f"{damage(name, lost)} {_set_aside(folder) if result.folder else ''}".rstrip())
    partial = result.completion
    result.complete(None)
    show(cmd, result, results)
    if partial and not partial.doubts and partial.model in cmd.get_names_of_type("object:molecule"):
        complete(cmd, result, partial.model)
    return result


def finish_segmentation(cmd: Any, run: Run) -> str:
    """Show what a run has found; raises ValueError."""
    run.name = free_name(cmd, STEM, wanted=run.name)
    result = load(cmd, run.name, run.folder, run.map)
    run.warnings = result.data.warnings
    return f"{len(result.proposals)} residues found."


def _set_aside(folder: Path) -> str:
    try:
        return f"A copy of the file is kept as {storage.keep_damaged_journal(folder)}."
    except OSError as error:
        return f"It cannot be copied ({error.strerror})."


def show(cmd: Any, result: Result, results: Path) -> None:
    """Make the objects of a result and remember it."""
    state = state_of(cmd)
    define_colors(cmd)
    draw_sites(cmd, result)
    draw_trace(cmd, result)
    load_density(cmd, result, results)
    state.results[result.name] = result
    update_sites(cmd, result)
    try:
        draw_surface(cmd, result)
    except SurfaceError:
        result.view = replace(result.view, shown=())
    update_models(cmd, result)
    hide_cell(cmd, result.map, f"{result.name}_")
    if int(cmd.get("auto_zoom")):
        cmd.zoom(f"%{result.sites}", 3)
    if problem := store_decisions(result):
        complain(problem)
    state.changed("results")


SEGMENT = Task(
    "segment",
    "Segmenting",
    {
        "read": ("Reading the map", 0.05),
        "prepare": ("Preparing the density", 0.05),
        "network": ("Running the network", 0.70),
        "instances": ("Locating residues", 0.05),
        "classify": ("Classifying residues", 0.05),
        "write": ("Writing results", 0.05),
    },
    finish_segmentation,
)
#: The same where the map may be read several times.
SEGMENT_IN_CYCLES = replace(
    SEGMENT,
    stages={
        "read": ("Reading the map", 0.05),
        "cycles": ("Reading in cycles", 0.85),
        "write": ("Writing results", 0.05),
    },
)
