"""The whole way from a map to labelled residues; nothing else knows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edseg_engine.crystal.assembly import assemble
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.devices import choose_device
from edseg_engine.errors import ResolutionError
from edseg_engine.inference.orientations import views
from edseg_engine.inference.predict import pooled, predict_views
from edseg_engine.inference.volume import prepare_volumes
from edseg_engine.io.read import read_map
from edseg_engine.memory import require_memory
from edseg_engine.networks.weights import Weights, load_weights, weights_folder
from edseg_engine.options import SegmentOptions
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress
from edseg_engine.residues.classify import Classifier, classify
from edseg_engine.residues.composition import composition_warning
from edseg_engine.residues.instances import find_instances
from edseg_engine.resolution import ResolutionRange, range_of_resolution
from edseg_engine.results.class_maps import class_maps
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import residue_voxels

#: Bytes needed for each voxel of the region's box, and for each value of the input map, with all intermediate arrays.
_BYTES_PER_VOXEL, _BYTES_PER_VALUE, _BYTES_FIXED = 60, 16, 1.2e9
#: Below this mean confidence a user should doubt the map before the labels.
_LOW_CONFIDENCE = 0.25


@dataclass
class _Clock:
    """Measures the stages of a run and reports their beginning."""

    progress: ProgressCallback
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.progress(Progress(name, 0.0))
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start
        self.progress(Progress(name, 1.0))


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
    """
    clock = _Clock(progress)
    device = choose_device(options.device)
    with clock.stage("read"):
        density = source if isinstance(source, DensityMap) else read_map(source, resolution=options.resolution)
        resolution = options.resolution or density.d_min
        if resolution is None:
            raise ResolutionError(
                f"{density.source.get('file', 'The map')} does not store its resolution; give it, for instance "
                "--resolution 2.8."
            )
        density = replace(density, d_min=max(resolution, density.d_min or 0.0))
        resolution_range = range_of_resolution(resolution)
        weights = choose_weights(options.weights, resolution_range)
        resolution_range, classifier = weights.card.range, Classifier.of(weights)
    region = choose_region(density, options.region, options.box)
    warnings = [*density.warnings, *_resolution_warnings(resolution, resolution_range)]
    with clock.stage("prepare"):
        _check_memory(density, region, resolution_range, options.views)
        volumes = prepare_volumes(density, region, resolution_range, options.views)
    with clock.stage("network"):
        parts = predict_views(weights.net, volumes, resolution_range.frame, device, progress, options.orientations)
        prediction = pooled(parts)
    with clock.stage("instances"):
        instances = find_instances(prediction.votes, prediction.weights, region.symmetry, options.n_residues)
        positions = assemble(instances.centroids, region.symmetry)
    with clock.stage("classify"):
        classes = classify(instances, prediction, classifier)
        maps = class_maps(density, region, volumes[0], parts[0]) if options.class_maps else None
    order = np.argsort(-classes.confidence, kind="stable")
    residues = tuple(
        ResidueProposal(
            number + 1,
            (float(x), float(y), float(z)),
            tuple(classes.probabilities[i].tolist()),
            float(classes.confidence[i]),
            int(classes.n_voxels[i]),
        )
        for number, i in enumerate(order)
        for x, y, z in [positions[i]]
    )
    voxels = None
    if options.voxels:
        # A surface needs a regular grid, so it is drawn from the voxels of the first view.
        first = parts[0]
        ids = np.append(np.argsort(order), -1)[instances.members[: len(first)]] + 1
        voxels = residue_voxels(
            density, region.symmetry, first.positions, first.votes, ids, positions[order], resolution_range.spacing
        )
    unlikely = composition_warning(classes.probabilities.argmax(1))
    if unlikely:
        warnings.append(unlikely)
    if not residues:
        warnings.append("No residue was found: the map may be noise, wrongly scaled or not of a protein.")
    elif options.n_residues is not None and len(residues) < options.n_residues:
        warnings.append(f"Only {len(residues)} of the {options.n_residues} residues asked for were found.")
    elif float(np.mean([r.confidence for r in residues])) < _LOW_CONFIDENCE:
        warnings.append("The mean confidence is low: check the resolution given, the phases and the hand of the map.")
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
        warnings=tuple(warnings),
        class_maps=maps,
        voxels=voxels,
    )


def choose_weights(path: Path | None, resolution_range: ResolutionRange) -> Weights:
    """Return the weights of a file, or the shipped ones of a range if `path` is None.

    Raises
    ------
    WeightsError
        If they are missing or damaged.
    """
    return load_weights(path or weights_folder() / f"{resolution_range.name}.safetensors")


def _resolution_warnings(resolution: float, resolution_range: ResolutionRange) -> list[str]:
    if resolution > resolution_range.d_max + 1e-6:
        return [
            f"The network was trained on {resolution_range.d_min:g}-{resolution_range.d_max:g} Å; at {resolution:g} Å "
            "its labels are less reliable than it says."
        ]
    return []


def _check_memory(density: DensityMap, region: Region, resolution_range: ResolutionRange, n_views: int) -> None:
    voxels = 0.0
    for low, high in map(region.edges, views(n_views)):
        voxels += float(np.prod((high - low + 2 * resolution_range.frame) / resolution_range.spacing))
    needed = _BYTES_PER_VOXEL * voxels + _BYTES_PER_VALUE * density.values.size + _BYTES_FIXED
    require_memory(needed, "This run", "close other programs, or work on one asymmetric unit or a part of the map")
