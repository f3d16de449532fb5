"""What each map of a batch is asked for, as a manifest says it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from edseg_engine.building.results import BuildOptions
from edseg_engine.errors import OptionError
from edseg_engine.options import REGIONS, Box, SegmentOptions, check_choice

TASKS = ("segment", "build")


@dataclass(frozen=True)
class MapSettings:
    """Options of one map; the names are the columns of a manifest.

    Attributes
    ----------
    resolution, residues
        d_min in Å and number of residues; None reads and estimates them.
    sequence
        FASTA file of the protein: gives the number of residues where none is given, the composition that the page
        expects, and what a model is built of.
    f, phi
        Columns of the map coefficients in a reflection file.
    orientations, views, weights
        See `edseg_engine.options.SegmentOptions`.
    region, box, class_maps, voxels
        The same; of the task ``segment`` only.
    cycles
        Times that a map is read, at most so many while a model is built; None is what the task does by default.
    model, refine
        Coordinate file of a known part, and whether to refine; of the task ``build`` only.
    """

    resolution: float | None = None
    residues: int | None = None
    sequence: Path | None = None
    f: str | None = None
    phi: str | None = None
    orientations: int = SegmentOptions.orientations
    views: int = SegmentOptions.views
    weights: Path | None = None
    region: str = SegmentOptions.region
    box: Box | None = None
    class_maps: bool = False
    voxels: bool = False
    model: Path | None = None
    cycles: int | None = None
    refine: bool = BuildOptions.refine


#: Settings that only one of the tasks has.
_ONLY = {
    "segment": ("region", "box", "class_maps", "voxels"),
    "build": ("model", "refine"),
}
#: Settings that are files.
FILES = ("sequence", "weights", "model")
NAMES: tuple[str, ...] = tuple(f.name for f in fields(MapSettings))


def check_task(settings: MapSettings, task: str) -> None:
    """Refuse settings of another task than `task`.

    Raises
    ------
    OptionError
        If there are any, or there is no such task.
    """
    check_choice("task", task, TASKS)
    for other in TASKS:
        for name in _ONLY[other] if other != task else ():
            if getattr(settings, name) != getattr(MapSettings, name):
                raise OptionError(f"The task {task} has no option {name}; it is one of the task {other}.")


def setting_of_text(name: str, text: str, folder: Path) -> object:
    """Return the value of a setting from the text of a manifest.

    Parameters
    ----------
    name
        One of `NAMES`.
    folder
        Where relative paths start.

    Raises
    ------
    OptionError
        If the text is no such value.
    """
    try:
        return _PARSERS[name](text) if name not in FILES else folder / text
    except ValueError:
        raise OptionError(f"The {name} cannot be {text!r}.") from None


def _box(text: str) -> Box:
    x0, y0, z0, x1, y1, z1 = map(_number, text.replace(",", " ").split())
    return x0, y0, z0, x1, y1, z1


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _truth(text: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError
    return words[text.lower()]


def _region(text: str) -> str:
    check_choice("region", text, REGIONS)
    return text


_PARSERS: dict[str, Callable[[str], object]] = {
    "resolution": _number,
    "residues": int,
    "f": str,
    "phi": str,
    "orientations": int,
    "views": int,
    "region": _region,
    "box": _box,
    "class_maps": _truth,
    "voxels": _truth,
    "cycles": int,
    "refine": _truth,
}
