"""The whole way from a map to labelled residues, and its two steps; nothing else knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.crystal.assembly import assemble
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.devices import choose_device
from edseg_engine.errors import ResolutionError
from edseg_engine.inference.orientations import views as grid_axes
from edseg_engine.inference.predict import VoxelPrediction, pooled, predict_views
from edseg_engine.inference.volume import Volume, prepare_volumes
from edseg_engine.io.read import read_map
from edseg_engine.io.validation import checked_map
from edseg_engine.memory import require_memory
from edseg_engine.networks.weights import Weights, backbone_beside, choose_weights
from edseg_engine.options import SegmentOptions
from edseg_engine.progress import Clock, ProgressCallback, ignore_progress, part_of
from edseg_engine.residues.backbone import Backbone, vote_backbone
from edseg_engine.residues.classify import Classes, Classifier, classify
from edseg_engine.residues.composition import composition_warning
from edseg_engine.residues.instances import Instances, find_instances
from edseg_engine.resolution import ResolutionRange, range_of_resolution
from edseg_engine.results.class_maps import class_maps
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import ResidueVoxels, residue_voxels

#: Bytes needed for each voxel of the region's box, and for each value of the input map, with all intermediate arrays.
_BYTES_PER_VOXEL, _BYTES_PER_VALUE, _BYTES_FIXED = 60, 16, 1.2e9
#: Below this mean confidence a user should doubt the map before the labels.
_LOW_CONFIDENCE = 0.25


@dataclass(frozen=True)
class MapPrediction:
    """What the network says of a map, and where.

    Attributes
    ----------
    region
        The part of the map that was read.
    volume
        Its density as the network saw it; of several views the first, along x, y, z.
    first
        The voxels of `volume`.
    voxels
        The voxels of all views.
    """

    region: Region
    volume: Volume
    first: VoxelPrediction
    voxels: VoxelPrediction


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
        Their atoms, in the same symmetry copies; None if the network does not vote for atoms.
    """

    instances: Instances
    positions: NDArray[np.float64]
    classes: Classes
    backbone: Backbone | None


def predict_map(
    density: DensityMap,
    region: Region,
    weights: Weights,
    device: torch.device,
    *,
    orientations: int = SegmentOptions.orientations,
    views: int = SegmentOptions.views,
    clock: Clock | None = None,
    edit: Callable[[Volume], Volume] | None = None,
    backbone: Weights | None = None,
) -> MapPrediction:
    """Run the network on a region of a map, from the map to its word on every voxel with density.

    Parameters
    ----------
    orientations, views
        See `edseg_engine.options.SegmentOptions`.
    clock
        Measures the stages ``prepare`` and ``network`` and hears of their progress.
    edit
        Changes the density of each view before the network reads it.
    backbone
        Weights that vote for atoms beside those for classes and centroids; they read the map in one orientation.

    Raises
    ------
    DeviceError
        If there is not enough memory.
    """
    clock = clock or Clock()
    with clock.stage("prepare"):
        _check_memory(density, region, weights.card.range, views)
        volumes = prepare_volumes(density, region, weights.card.range, views)
        if edit is not None:
            volumes = [edit(volume) for volume in volumes]
    with clock.stage("network"):
        first = 1.0 if backbone is None else orientations / (orientations + 1)
        progress = part_of(clock.progress, 0.0, first)
        parts = predict_views(weights.net, volumes, weights.card.range.frame, device, progress, orientations)
        if backbone is not None:
            progress = part_of(clock.progress, first, 1.0)
            voted = predict_views(backbone.net, volumes, backbone.card.range.frame, device, progress)
            parts = [replace(part, atoms=other.atoms) for part, other in zip(parts, voted, strict=True)]
        return MapPrediction(region, volumes[0], parts[0], pooled(parts))


def find_residues(
    prediction: MapPrediction, classifier: Classifier, n_residues: int | None = None, clock: Clock | None = None
) -> FoundResidues:
    """Group the voxels of a map into residues and classify these.

    Parameters
    ----------
    n_residues
        Number of residues K in the region; None estimates it from the votes.
    clock
        Measures the stages ``instances`` and ``classify`` and hears of their progress.
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
        return FoundResidues(instances, positions, classify(instances, voxels, classifier), backbone)


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
    device = choose_device(options.device)
    with clock.stage("read"):
        if isinstance(source, DensityMap):
            density = checked_map(source)
        else:
            density = read_map(source, resolution=options.resolution)
        density, resolution = with_resolution(density, options.resolution)
        weights = choose_weights(options.weights, range_of_resolution(resolution))
        classifier, backbone = Classifier.of(weights), backbone_beside(weights)
    region = choose_region(density, options.region, options.box)
    prediction = predict_map(
        density,
        region,
        weights,
        device,
        orientations=options.orientations,
        views=options.views,
        clock=clock,
        backbone=backbone,
    )
    found = find_residues(prediction, classifier, options.n_residues, clock)
    order = np.argsort(-found.classes.confidence, kind="stable")
    residues = _proposals(found, order)
    return Segmentation(
        residues=residues,
        options=options,
        input=dict(density.source),
        cell=density.cell,
        spacegroup=density.spacegroup,
        resolution=resolution,
        region=region.name,
        weights=weights.info,
        device=device.type,
        timings=clock.timings,
        warnings=(
            *density.warnings,
            *_resolution_warnings(resolution, weights.card.range),
            *_residue_warnings(residues, found.classes, options.n_residues),
        ),
        class_maps=class_maps(density, region, prediction.volume, prediction.first) if options.class_maps else None,
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


def with_resolution(density: DensityMap, resolution: float | None) -> tuple[DensityMap, float]:
    """Return a map that knows its resolution, and the d_min (Å) to work at.

    Parameters
    ----------
    resolution
        d_min in Å that the user gave; None takes that of the map.

    Raises
    ------
    ResolutionError
        If neither is known.
    """
    d_min = resolution or density.d_min
    if d_min is None:
        raise ResolutionError(
            f"{density.source.get('file', 'The map')} does not store its resolution; give it, for instance "
            "--resolution 2.8."
        )
    return replace(density, d_min=max(d_min, density.d_min or 0.0)), d_min


def _resolution_warnings(resolution: float, resolution_range: ResolutionRange) -> list[str]:
    if resolution > resolution_range.d_max + 1e-6:
        return [
            f"The network was trained on {resolution_range.d_min:g}-{resolution_range.d_max:g} Å; at {resolution:g} Å "
            "its labels are less reliable than it says."
        ]
    return []


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


def _check_memory(density: DensityMap, region: Region, resolution_range: ResolutionRange, n_views: int) -> None:
    voxels = 0.0
    for low, high in map(region.edges, grid_axes(n_views)):
        voxels += float(np.prod((high - low + 2 * resolution_range.frame) / resolution_range.spacing))
    needed = _BYTES_PER_VOXEL * voxels + _BYTES_PER_VALUE * density.values.size + _BYTES_FIXED
    require_memory(needed, "This run", "close other programs, or work on one asymmetric unit or a part of the map")
