"""The first step: from a map to the network's predictions for every voxel with density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.devices import choose_device
from edseg_engine.errors import ResolutionError, WeightsError
from edseg_engine.inference.frames import FrameReader
from edseg_engine.inference.predict import VoxelPrediction, mixed, pooled, predict_views
from edseg_engine.inference.volume import Volume, as_read, prepare_volumes
from edseg_engine.io.read import read_map
from edseg_engine.io.validation import checked_map
from edseg_engine.networks.neighbournet import NeighbourNet
from edseg_engine.networks.weights import Weights, backbone_beside, choose_weights, coarse_beside
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline.sizes import memory_needed, require_run_memory
from edseg_engine.progress import Clock, part_of
from edseg_engine.residues.classify import Classifier
from edseg_engine.resolution import ResolutionRange, range_of_resolution


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
    reader
        What reads residues in the frames of their main chains; None where no network votes for atoms, or none is
        trained to.
    neighbour_net
        What then reads them among their neighbours; None where none is trained to.
    """

    region: Region
    volume: Volume
    first: VoxelPrediction
    voxels: VoxelPrediction
    reader: FrameReader | None = None
    neighbour_net: NeighbourNet | None = None

    def in_frames(self, atoms: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the class probabilities of residues of known atoms, see `FrameReader.read`; None without a reader."""
        return None if self.reader is None else self.reader.read(atoms).probabilities


@dataclass(frozen=True)
class PreparedMap:
    """A map that is ready for the network.

    Attributes
    ----------
    density
        The map, with its resolution.
    read
        The same as the networks read it.
    resolution
        d_min in Å to work at.
    weights, beside
        Those that name residues, and those that vote for atoms and read the map beside them, if any.
    classifier
        What turns their predictions for voxels into classes of residues.
    region
        The part of the map that is read.
    volumes
        Its density as the network sees it, one for each view.
    """

    density: DensityMap
    read: DensityMap
    resolution: float
    weights: Weights
    beside: Weights | None
    classifier: Classifier
    region: Region
    volumes: list[Volume]


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
        Changes the density of each view before the network reads it; residues are then not read in their frames.
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
        read, volumes = _prepare(density, region, weights.card.range, views, require_run_memory)
        if edit is not None:
            volumes = [edit(volume) for volume in volumes]
    prediction = _predict(read, region, volumes, weights, beside, device, orientations, clock)
    return prediction if edit is None else replace(prediction, reader=None)


def require_votes(weights: Weights) -> None:
    """Check that the network of `weights` finds residues by itself.

    Raises
    ------
    WeightsError
        If its voxels do not vote.
    """
    if not weights.net.config.points:
        raise WeightsError(
            f"{weights.info.name} holds a network that names voxels and cannot locate residues; choose weights of an "
            "MT-StackNet, or let it name residues whose places are known: edseg evaluate --given-locations."
        )


def _prepare(
    density: DensityMap,
    region: Region,
    resolution_range: ResolutionRange,
    views: int,
    admit: Callable[[float], None],
) -> tuple[DensityMap, list[Volume]]:
    """Return a map as it is read, and its views, if `admit` takes the bytes that the whole run will need."""
    admit(memory_needed(density, region, resolution_range, views))
    read = as_read(density, resolution_range)
    return read, prepare_volumes(read, region, resolution_range, views)


def _predict(
    read: DensityMap,
    region: Region,
    volumes: list[Volume],
    weights: Weights,
    beside: Weights | None,
    device: torch.device,
    orientations: int,
    clock: Clock,
) -> MapPrediction:
    with clock.stage("network"):
        first = 1.0 if beside is None else orientations / (orientations + 1)
        progress = part_of(clock.progress, 0.0, first)
        parts = predict_views(weights.net, volumes, weights.card.range, device, progress, orientations)
        if beside is not None:
            progress = part_of(clock.progress, first, 1.0)
            others = predict_views(beside.net, volumes, beside.card.range, device, progress)
            names = not coarse_beside(weights)
            parts = [mixed(part, other, names) for part, other in zip(parts, others, strict=True)]
        of_atoms = beside or weights
        reader = FrameReader(read, of_atoms.frame_net) if of_atoms.frame_net else None
        return MapPrediction(region, volumes[0], parts[0], pooled(parts), reader, of_atoms.neighbour_net)


def read_voxels(source: DensityMap | Path | str, options: SegmentOptions, clock: Clock) -> MapReading:
    """Read a map and run the networks that the options and its resolution ask for, see `predict_map`.

    Raises
    ------
    EdsegError
        One of its subclasses for every input that cannot be used.
    """
    return run_network(prepare_map(source, options, clock), options, clock)


def prepare_map(
    source: DensityMap | Path | str,
    options: SegmentOptions,
    clock: Clock,
    admit: Callable[[float], None] | None = None,
) -> PreparedMap:
    """Do what comes before the network, see `read_voxels`.

    Parameters
    ----------
    admit
        Is called with the bytes that the whole run will need, before most of them are taken; refuses by raising
        `DeviceError`. None refuses what does not fit into the memory that is free.
    """
    choose_device(options.device)
    with clock.stage("read"):
        if isinstance(source, DensityMap):
            density = checked_map(source)
        else:
            density = read_map(source, resolution=options.resolution)
        density, resolution = with_resolution(density, options.resolution)
        weights = choose_weights(options.weights, range_of_resolution(resolution))
        require_votes(weights)
        classifier = Classifier.of(weights, density.cycle)
        beside = backbone_beside(weights)
    with clock.stage("prepare"):
        region = choose_region(density, options.region, options.box)
        read, volumes = _prepare(density, region, weights.card.range, options.views, admit or require_run_memory)
    return PreparedMap(density, read, resolution, weights, beside, classifier, region, volumes)


def run_network(prepared: PreparedMap, options: SegmentOptions, clock: Clock) -> MapReading:
    """Run the networks on a prepared map, see `read_voxels`."""
    prediction = _predict(
        prepared.read,
        prepared.region,
        prepared.volumes,
        prepared.weights,
        prepared.beside,
        choose_device(options.device),
        options.orientations,
        clock,
    )
    return MapReading(prepared.density, prepared.resolution, prepared.weights, prepared.classifier, prediction)


def with_resolution(density: DensityMap, resolution: float | None) -> tuple[DensityMap, float]:
    """Return a map that knows its resolution, and the d_min (Å) to work at.

    Parameters
    ----------
    resolution
        d_min in Å that the user gave; None, or a finer one than that of the map, takes that of the map.

    Raises
    ------
    ResolutionError
        If neither is known.
    """
    d_min = max(resolution or 0.0, density.d_min or 0.0)
    if not d_min:
        raise ResolutionError(
            f"{density.source.get('file', 'The map')} does not store its resolution; give it, for instance "
            "--resolution 2.8."
        )
    return replace(density, d_min=d_min), d_min


def _resolution_warnings(resolution: float, resolution_range: ResolutionRange) -> list[str]:
    if resolution > resolution_range.d_max + 1e-6:
        return [
            f"The network was trained on {resolution_range.d_min:g}-{resolution_range.d_max:g} Å; at {resolution:g} Å "
            "its labels are less reliable than it says."
        ]
    return []
