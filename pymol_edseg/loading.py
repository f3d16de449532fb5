"""Showing results that are on disk: of a run that has just ended, of an earlier one, or of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymol_edseg.console import complain
from pymol_edseg.model import update_models
from pymol_edseg.objects import define_colors, draw_sites, update_sites
from pymol_edseg.palette import LABELS
from pymol_edseg.proposals import read_result
from pymol_edseg.state import Result, state_of
from pymol_edseg.storage import read_journal, save_journal
from pymol_edseg.surfaces import SurfaceError, draw_surfaces, load_density


def load(cmd: Any, name: str, folder: Path, details: dict[str, Any]) -> Result:
    """Show the results in a folder: of a run, with its journal, or an output directory of the command line.

    Raises
    ------
    ValueError
        If they cannot be read.
    """
    results = folder / "result" if (folder / "result").is_dir() else folder
    data = read_result(results)
    stored = read_journal(folder)
    if stored is None:
        details = {key: value for key, value in details.items() if key not in ("quiet", "alone")}
        result = Result(name, data, {**details, "folder": str(folder) if folder is not results else None})
        result.shown = LABELS
    else:
        result = Result.from_json({**stored, "name": name, "data": data})
        result.details["folder"] = str(folder)
    show(cmd, result, results)
    return result


def show(cmd: Any, result: Result, results: Path) -> None:
    """Make the objects of a result and remember it."""
    state = state_of(cmd)
    define_colors(cmd)
    draw_sites(cmd, result)
    load_density(cmd, result, results)
    state.results[result.name] = result
    update_sites(cmd, result)
    try:
        draw_surfaces(cmd, result)
    except SurfaceError:
        result.shown = ()
    update_models(cmd, result)
    if problem := save_journal(result):
        complain(problem)
    state.changed("results")
