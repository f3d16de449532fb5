"""The first step of building: the residues of a map with their backbones, from the network."""

from __future__ import annotations

from edseg_engine.building.records import BACKBONE, BackboneResidues
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.labels import ATOMS
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import MapReading, find_residues, read_voxels
from edseg_engine.progress import Clock, ProgressCallback


def vote(density: DensityMap, options: SegmentOptions, progress: ProgressCallback) -> BackboneResidues:
    """Return the residues of a map with the atoms that the networks read.

    Raises
    ------
    ResolutionError
        If the resolution of the map is not known.
    WeightsError
        If weights are missing or damaged.
    """
    clock = Clock(progress)
    return backbone_residues(read_voxels(density, options, clock), options, clock)


def backbone_residues(reading: MapReading, options: SegmentOptions, clock: Clock) -> BackboneResidues:
    """Return the residues of a map that the network has read, atoms included."""
    found = find_residues(reading.prediction, reading.classifier, options.n_residues, clock)
    assert found.backbone is not None
    backbone, classes = found.backbone, found.classes
    points = {name: backbone.atoms[:, i] for i, name in enumerate(ATOMS)}
    return BackboneResidues(
        atoms=backbone.atoms[:, [ATOMS.index(name) for name in BACKBONE]],
        probabilities=classes.probabilities,
        confidence=classes.confidence,
        symmetry=reading.prediction.region.symmetry,
        next_ca=points["next CA"],
        previous_ca=points["previous CA"],
        warnings=reading.warnings,
    )
