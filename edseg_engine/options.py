"""What a run is asked for; the options check themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edseg_engine.errors import OptionError
from edseg_engine.resolution import range_of_resolution

REGIONS = ("auto", "asu", "cell", "box")
DEVICES = ("auto", "cpu", "cuda", "mps")
#: At most so many times a map is read, alone or while a model is built.
MOST_CYCLES = 12
#: How many rotations of the grid there are, and how many views may be asked for.
MOST_ORIENTATIONS, MOST_VIEWS = 24, 12

Box = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class SegmentOptions:
    """Options of one run.

    Attributes
    ----------
    resolution
        d_min in Å; None takes it from the file: reflection files give it, map files do not.
    n_residues
        Number of residues K in the region; None estimates it from the votes.
    region
        ``"asu"``: one asymmetric unit, each residue once (the default for a map of a whole crystal);
        ``"cell"``: every residue of the unit cell; ``"box"``: the extent of the file, no symmetry
        (the default for a map that covers only a box).
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    orientations
        Rotations of the grid, 1 to 24, whose predictions are averaged: more take longer and are better.
    views
        Voxel grids, 1 to 12, turned against each other, whose votes are pooled: more take longer and find a few
        more residues.
    cycles
        Times that a map is read, 1 to 12. Before each but the first its phases are improved with what was found, for
        which the measured amplitudes must be known.
    class_maps
        Keep the class probabilities so that class maps can be written.
    voxels
        Keep the voxels of each residue and the density around them, from which viewers draw its surface.
    box
        Lowest x, y, z and highest x, y, z (Å): work on this part of the map only, which makes the region ``"box"``.
    weights
        A weights file; None chooses the shipped one of the resolution's range.

    Raises
    ------
    OptionError
        If a value makes no sense or two contradict each other.
    ResolutionError
        If there is no network for the resolution.
    """

    resolution: float | None = None
    n_residues: int | None = None
    region: str = "auto"
    device: str = "auto"
    orientations: int = 1
    views: int = 1
    cycles: int = 1
    class_maps: bool = False
    voxels: bool = False
    box: Box | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.resolution is not None:
            range_of_resolution(self.resolution)
        if self.n_residues is not None and not (isinstance(self.n_residues, int) and self.n_residues >= 1):
            raise OptionError(f"The number of residues must be a whole number, at least 1, not {self.n_residues}.")
        check_choice("region", self.region, REGIONS)
        check_choice("device", self.device, DEVICES)
        check_number("orientations", self.orientations, MOST_ORIENTATIONS)
        check_number("views", self.views, MOST_VIEWS)
        check_number("cycles", self.cycles, MOST_CYCLES)
        if self.cycles > 1 and (self.region not in ("auto", "asu") or self.box is not None):
            raise OptionError("Phases are improved in whole crystals: more than one cycle needs the region asu.")
        if self.box is not None:
            _check_box(self.box, self.region)


def check_choice(what: str, name: str, choices: Sequence[str]) -> None:
    """Raise OptionError if `name` is not one of `choices`; `what` says what is chosen."""
    if name not in choices:
        raise OptionError(f"There is no {what} {name!r}; choose one of {', '.join(choices)}.")


def check_number(what: str, number: int, most: int) -> None:
    """Raise OptionError if a number is not a whole one from 1 to `most`; `what` says what is counted."""
    if not (isinstance(number, int) and 1 <= number <= most):
        raise OptionError(f"The number of {what} must be 1 to {most}, not {number}.")


def _check_box(box: Box, region: str) -> None:
    if region not in ("auto", "box"):
        raise OptionError(f"The region {region!r} and a box exclude each other; give one of them.")
    pairs = zip(box[:3], box[3:], strict=False)
    if len(box) != 6 or not all(map(math.isfinite, box)) or not all(low < high for low, high in pairs):
        raise OptionError("A box is given by its lowest x, y, z and its highest x, y, z in Å, all of them numbers.")
