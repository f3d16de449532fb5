"""What a run returns: plain frozen records, shared by the library and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import gemmi

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.labels import LABELS
from edseg_engine.networks.card import WeightsInfo
from edseg_engine.options import SegmentOptions
from edseg_engine.results.class_maps import ClassMaps
from edseg_engine.results.residue_voxels import ResidueVoxels


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
    atoms
        Positions (x, y, z) in Å of `edseg_engine.labels.ATOMS` as the networks read them: no geometry is imposed. Empty
        where none votes for atoms.
    """

    id: int
    position: tuple[float, float, float]
    probabilities: tuple[float, ...]
    confidence: float
    n_voxels: int
    atoms: tuple[tuple[float, float, float], ...] = ()

    @cached_property
    def ranks(self) -> tuple[tuple[str, float], ...]:
        """The three most probable labels with their probabilities, rank 1 first."""
        order = sorted(range(len(LABELS)), key=lambda i: -self.probabilities[i])[:3]
        return tuple((LABELS[i], self.probabilities[i]) for i in order)


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
    #: The map of improved phases, if one was read most surely.
    improved: DensityMap | None = field(default=None, repr=False)
