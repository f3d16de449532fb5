"""The first step of building: the residues of a map with their backbones, from the network."""

from __future__ import annotations

from edseg_engine.building.records import BACKBONE, BackboneResidues
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.devices import choose_device
from edseg_engine.labels import ATOMS
from edseg_engine.networks.weights import backbone_beside, choose_weights
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import find_residues, predict_map, with_resolution
from edseg_engine.progress import Clock, ProgressCallback
from edseg_engine.residues.classify import Classifier
from edseg_engine.resolution import range_of_resolution


def vote(density: DensityMap, options: SegmentOptions, progress: ProgressCallback) -> BackboneResidues:
    """Return the residues of a map with the atoms that the network votes for.

    Raises
    ------
    ResolutionError
        If the map does not tell its resolution.
    WeightsError
        If weights are missing or damaged.
    """
    density, resolution = with_resolution(density, options.resolution)
    weights = choose_weights(options.weights, range_of_resolution(resolution))
    region, clock = choose_region(density, options.region, options.box), Clock(progress)
    prediction = predict_map(
        density,
        region,
        weights,
        choose_device(options.device),
        orientations=options.orientations,
        views=options.views,
        clock=clock,
        backbone=backbone_beside(weights),
    )
    found = find_residues(prediction, Classifier.of(weights), options.n_residues, clock)
    assert found.backbone is not None
    backbone, classes = found.backbone, found.classes
    points = {name: backbone.atoms[:, i] for i, name in enumerate(ATOMS)}
    return BackboneResidues(
        atoms=backbone.atoms[:, [ATOMS.index(name) for name in BACKBONE]],
        probabilities=classes.probabilities,
        confidence=classes.confidence,
        symmetry=region.symmetry,
        next_ca=points["next CA"],
        previous_ca=points["previous CA"],
    )
