"""The first step: from a map to the network's predictions for every voxel with density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.devices import choose_device
from edseg_engine.errors import ResolutionError
from edseg_engine.inference.orientations import views as grid_axes
from edseg_engine.inference.predict import VoxelPrediction, mixed, pooled, predict_views
from edseg_engine.inference.volume import Volume, prepare_volumes
from edseg_engine.io.read import read_map
from edseg_engine.io.validation import checked_map
from edseg_engine.memory import require_memory
from edseg_engine.networks.weights import Weights, backbone_beside, choose_weights
from edseg_engine.options import SegmentOptions
from edseg_engine.progress import Clock, part_of
from edseg_engine.residues.classify import Classifier
from edseg_engine.resolution import ResolutionRange, range_of_resolution

#: Bytes needed for each voxel of the region's box, and for each value of the input map, with all intermediate arrays.
_BYTES_PER_VOXEL, _BYTES_PER_VALUE, _BYTES_FIXED = 60, 16, 1.2e9
#: Weight of the network that votes for atoms in the mean of both networks' answers.
_SHARE_BESIDE = 0.25


@dataclass(frozen=True)
class MapPrediction:
    """What the network predicts for a map, and where.

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
class MapReading:
    """A map, the weights that read it, and their predictions for its voxels.

    Attributes
    ----------
    density
        The map, with its resolution.
    resolution
        d_min in Å to work at.
    weights
        Those that name residues.
    classifier
        What turns their predictions for voxels into classes of residues.
    prediction
        What they say.
    """

    density: DensityMap
    resolution: float
    weights: Weights
    classifier: Classifier
    prediction: MapPrediction

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on how the map was read."""
        return (*self.density.warnings, *_resolution_warnings(self.resolution, self.weights.card.range))


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
    alone: bool = False,
) -> MapPrediction:
    """Run the networks on a region of a map, from the map to their predictions for every voxel with density.

    The shipped network that votes for atoms, and has seen maps with poor phases, reads the map beside that of
    `weights`, in one orientation; their answers are mixed. Weights that vote for atoms themselves need none beside.

    Parameters
    ----------
    orientations, views
        See `edseg_engine.options.SegmentOptions`.
    clock
        Measures the stages ``prepare`` and ``network`` and reports their progress.
    edit
        Changes the density of each view before the network reads it.
    alone
        Run the network of `weights` only.

    Raises
    ------
    DeviceError
        If there is not enough memory.
    WeightsError
        If the shipped weights are missing or damaged.
    """
    clock = clock or Clock()
    beside = None if alone else backbone_beside(weights)
    with clock.stage("prepare"):
        _check_memory(density, region, weights.card.range, views)
        volumes = prepare_volumes(density, region, weights.card.range, views)
        if edit is not None:
            volumes = [edit(volume) for volume in volumes]
    with clock.stage("network"):
        first = 1.0 if beside is None else orientations / (orientations + 1)
        progress = part_of(clock.progress, 0.0, first)
        parts = predict_views(weights.net, volumes, weights.card.range.frame, device, progress, orientations)
        if beside is not None:
            progress = part_of(clock.progress, first, 1.0)
            others = predict_views(beside.net, volumes, beside.card.range.frame, device, progress)
            parts = [mixed(part, other, _SHARE_BESIDE) for part, other in zip(parts, others, strict=True)]
        return MapPrediction(region, volumes[0], parts[0], pooled(parts))


def read_voxels(source: DensityMap | Path | str, options: SegmentOptions, clock: Clock) -> MapReading:
    """Read a map and run the networks that the options and its resolution ask for, see `predict_map`.

    Raises
    ------
    EdsegError
        One of its subclasses for every input that cannot be used.
    """
    device = choose_device(options.device)
    with clock.stage("read"):
        if isinstance(source, DensityMap):
            density = checked_map(source)
        else:
            density = read_map(source, resolution=options.resolution)
        density, resolution = with_resolution(density, options.resolution)
        weights = choose_weights(options.weights, range_of_resolution(resolution))
        classifier = Classifier.of(weights)
    prediction = predict_map(
        density,
        choose_region(density, options.region, options.box),
        weights,
        device,
        orientations=options.orientations,
        views=options.views,
        clock=clock,
    )
    return MapReading(density, resolution, weights, classifier, prediction)


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


def _check_memory(density: DensityMap, region: Region, resolution_range: ResolutionRange, n_views: int) -> None:
    voxels = 0.0
    for low, high in map(region.edges, grid_axes(n_views)):
        voxels += float(np.prod((high - low + 2 * resolution_range.frame) / resolution_range.spacing))
    needed = _BYTES_PER_VOXEL * voxels + _BYTES_PER_VALUE * density.values.size + _BYTES_FIXED
    require_memory(needed, "This run", "close other programs, or work on one asymmetric unit or a part of the map")
