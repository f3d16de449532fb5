"""The second step, from voxels to labelled residues, and the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.assembly import assemble
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.devices import choose_device
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline.voxels import MapPrediction, MapReading, read_voxels
from edseg_engine.progress import Clock, ProgressCallback, ignore_progress
from edseg_engine.residues.backbone import Backbone, vote_backbone
from edseg_engine.residues.classify import Classes, Classifier, classify
from edseg_engine.residues.composition import composition_warning
from edseg_engine.residues.instances import Instances, find_instances
from edseg_engine.results.class_maps import class_maps
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import ResidueVoxels, residue_voxels

#: Below this mean confidence a user should doubt the map before the labels.
_LOW_CONFIDENCE = 0.25


@dataclass(frozen=True)
class FoundResidues:
    """The residues that the voxels of a map vote for.

    Attributes
    ----------
    instances
        Which voxels each of the k residues has.
    positions
        shape (k, 3): their centroids (Å), of the symmetry copies that make compact molecules.
    classes
        What each of them is.
    backbone
        Their atoms, in the same symmetry copies: as voted, or as then read in the frames of the votes; None if the
        network does not vote for atoms.
    """

    instances: Instances
    positions: NDArray[np.float64]
    classes: Classes
    backbone: Backbone | None


def find_residues(
    prediction: MapPrediction, classifier: Classifier, n_residues: int | None = None, clock: Clock | None = None
) -> FoundResidues:
    """Group the voxels of a map into residues and classify these.

    Parameters
    ----------
    n_residues
        Number of residues K in the region; None estimates it from the votes.
    clock
        Measures the stages ``instances`` and ``classify`` and reports their progress.
    """
    clock = clock or Clock()
    voxels, symmetry = prediction.voxels, prediction.region.symmetry
    with clock.stage("instances"):
        instances = find_instances(voxels.votes, voxels.weights, symmetry, n_residues)
        positions = assemble(instances.centroids, symmetry)
        backbone = vote_backbone(instances, voxels, symmetry)
        if backbone is not None:
            backbone = backbone.moved(instances.centroids, positions, symmetry)
    with clock.stage("classify"):
        in_frames = None
        if backbone is not None and prediction.reader is not None:
            reading = prediction.reader.read(backbone.atoms, clock.progress)
            backbone, in_frames = Backbone(reading.atoms), reading.probabilities
        return FoundResidues(instances, positions, classify(instances, voxels, classifier, in_frames), backbone)


def segment(
    source: DensityMap | Path | str,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 (frozen)
    progress: ProgressCallback = ignore_progress,
) -> Segmentation:
    """Find and label the residues of a map.

    Parameters
    ----------
    source
        A map, or the file to read it from.
    options
        See `SegmentOptions`.
    progress
        Called often; raise `edseg_engine.errors.Cancelled` from it to stop.

    Raises
    ------
    EdsegError
        One of its subclasses, with a sentence for the user, for every input that cannot be used.
    Cancelled
        If `progress` raised it; it is not an `EdsegError`.
    """
    clock = Clock(progress)
    return label_residues(read_voxels(source, options, clock), options, clock)


def label_residues(reading: MapReading, options: SegmentOptions, clock: Clock) -> Segmentation:
    """Do what comes after the network, see `segment`."""
    density, prediction = reading.density, reading.prediction
    found = find_residues(prediction, reading.classifier, options.n_residues, clock)
    order = np.argsort(-found.classes.confidence, kind="stable")
    residues = _proposals(found, order)
    return Segmentation(
        residues=residues,
        options=options,
        input=dict(density.source),
        cell=density.cell,
        spacegroup=density.spacegroup,
        resolution=reading.resolution,
        region=prediction.region.name,
        weights=reading.weights.info,
        device=choose_device(options.device).type,
        timings=clock.timings,
        warnings=(
            *reading.warnings,
            *_residue_warnings(residues, found.classes, options.n_residues),
        ),
        class_maps=class_maps(density, prediction.region, prediction.volume, prediction.first)
        if options.class_maps
        else None,
        voxels=_voxels(density, prediction, found, order) if options.voxels else None,
    )


def _proposals(found: FoundResidues, order: NDArray[np.intp]) -> tuple[ResidueProposal, ...]:
    classes = found.classes
    return tuple(
        ResidueProposal(
            number + 1,
            (float(x), float(y), float(z)),
            tuple(classes.probabilities[i].tolist()),
            float(classes.confidence[i]),
            int(classes.n_voxels[i]),
            () if found.backbone is None else tuple((x, y, z) for x, y, z in found.backbone.atoms[i].tolist()),
        )
        for number, i in enumerate(order)
        for x, y, z in [found.positions[i]]
    )


def _voxels(
    density: DensityMap, prediction: MapPrediction, found: FoundResidues, order: NDArray[np.intp]
) -> ResidueVoxels:
    # A surface needs a regular grid, so it is drawn from the voxels of the first view.
    first = prediction.first
    ids = np.append(np.argsort(order), -1)[found.instances.members[: len(first)]] + 1
    positions, spacing = found.positions[order], prediction.volume.spacing
    return residue_voxels(density, prediction.region.symmetry, first.positions, first.votes, ids, positions, spacing)


def _residue_warnings(residues: tuple[ResidueProposal, ...], classes: Classes, n_residues: int | None) -> Iterator[str]:
    unlikely = composition_warning(classes.probabilities.argmax(1))
    if unlikely:
        yield unlikely
    if not residues:
        yield "No residue was found: the map may be noise, wrongly scaled or not of a protein."
    elif n_residues is not None and len(residues) < n_residues:
        yield f"Only {len(residues)} of the {n_residues} residues asked for were found."
    elif float(np.mean([r.confidence for r in residues])) < _LOW_CONFIDENCE:
        yield "The mean confidence is low: check the resolution given, the phases and the hand of the map."
