"""What a run is asked for and what it returns: plain frozen records, shared by library, command line and plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gemmi

from edseg_engine.labels import LABELS
from edseg_engine.results.class_maps import ClassMaps
from edseg_engine.results.residue_voxels import ResidueVoxels


@dataclass(frozen=True)
class SegmentOptions:
    """Options of one run.

    Attributes
    ----------
    resolution
        d_min in Å; None takes it from the file, which reflections can tell and map files cannot.
    residues
        Number of residues K in the region; None finds it from the votes.
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
    class_maps
        Keep the class probabilities so that class maps can be written.
    voxels
        Keep the voxels of each residue and the density around them, from which viewers draw its surface.
    box
        Lowest x, y, z and highest x, y, z (Å): work on this part of the map only, which makes the region ``"box"``.
    weights
        A weights file; None chooses the shipped one of the resolution's range.
    """

    resolution: float | None = None
    residues: int | None = None
    region: str = "auto"
    device: str = "auto"
    orientations: int = 4
    views: int = 1
    class_maps: bool = False
    voxels: bool = False
    box: tuple[float, float, float, float, float, float] | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class ResidueProposal:
    """One residue found in the map.

    Attributes
    ----------
    id
        1, 2, 3, ... in the order of the output files.
    position
        Centroid (x, y, z) in Å in the frame of the input map.
    probabilities
        Calibrated probability of each of the 17 labels, in the order of `LABELS`; sums to 1.
    confidence
        Calibrated probability that there is a residue here and that its rank-1 label is right.
    n_voxels
        Number of voxels that voted for this residue.
    """

    id: int
    position: tuple[float, float, float]
    probabilities: tuple[float, ...]
    confidence: float
    n_voxels: int

    @property
    def ranks(self) -> tuple[tuple[str, float], ...]:
        """The three most probable labels with their probabilities, rank 1 first."""
        order = sorted(range(len(LABELS)), key=lambda i: -self.probabilities[i])[:3]
        return tuple((LABELS[i], self.probabilities[i]) for i in order)


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights made a result."""

    name: str
    sha256: str
    d_min: float
    d_max: float


@dataclass(frozen=True)
class Segmentation:
    """The result of one run."""

    residues: tuple[ResidueProposal, ...]
    options: SegmentOptions
    #: What was read: path, format, sampling, extent, columns, ... (JSON values).
    input: Mapping[str, object]
    #: Unit cell (Å, degrees) and space group of the input map.
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    #: d_min in Å that the run used, and the region ("asu", "cell" or "box").
    resolution: float
    region: str
    weights: WeightsInfo
    device: str
    #: Seconds spent in each stage.
    timings: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    class_maps: ClassMaps | None = field(default=None, repr=False)
    voxels: ResidueVoxels | None = field(default=None, repr=False)
