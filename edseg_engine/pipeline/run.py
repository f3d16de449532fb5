"""The second step, from voxels to labelled residues, and the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.assembly import assemble
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.devices import choose_device
from edseg_engine.errors import EdsegError, OptionError
from edseg_engine.improvement import ReadResidues, best_reading
from edseg_engine.inference.neighbours import read_among_neighbours
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import Amplitudes, read_amplitudes
from edseg_engine.options import MOST_CYCLES, SegmentOptions
from edseg_engine.pipeline.voxels import MapPrediction, MapReading, read_voxels, with_resolution
from edseg_engine.progress import Clock, Progress, ProgressCallback, ignore_progress, part_of
from edseg_engine.residues.backbone import Backbone, vote_backbone
from edseg_engine.residues.classify import Classes, Classifier, calibrated, classify, geometric_mean
from edseg_engine.residues.composition import composition_warning
from edseg_engine.residues.instances import Instances, find_instances
from edseg_engine.residues.ncs import find_copies, pooled_over_copies
from edseg_engine.results.class_maps import class_maps
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import ResidueVoxels, residue_voxels

#: Below this mean confidence a user should doubt the map before the labels.
_LOW_CONFIDENCE = 0.25
#: Above this one nothing is gained by more cycles, most often.
_SURE = 0.8
#: Weight of what is read among neighbours, in the geometric mean with what was read before: the network knows the folds
#: that it was trained on better than others.
_SHARE_OF_NEIGHBOURS = 0.5


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

    @property
    def read(self) -> ReadResidues:
        """What the next map is phased with, where a network votes for atoms."""
        assert self.backbone is not None
        return ReadResidues(self.backbone.atoms, self.classes.probabilities, self.classes.confidence)


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
        classes, backbone = name_residues(prediction, instances, backbone, classifier, clock.progress)
        return FoundResidues(instances, positions, classes, backbone)


def name_residues(
    prediction: MapPrediction,
    instances: Instances,
    backbone: Backbone | None,
    classifier: Classifier,
    progress: ProgressCallback = ignore_progress,
) -> tuple[Classes, Backbone | None]:
    """Return the classes of instances, and their atoms.

    Parameters
    ----------
    backbone
        Their atoms as known so far; what is read in their frames, by copies of the molecule and among neighbours then
        tells classes and atoms. If nothing reads there, or it is None, it is returned as it is.
    progress
        Is called often while residues are read in their frames; what it raises ends the reading.
    """
    voxels, symmetry = prediction.voxels, prediction.region.symmetry
    if backbone is None or prediction.reader is None:
        return classify(instances, voxels, classifier), backbone
    reading = prediction.reader.read(backbone.atoms, progress)
    raw = classifier.raw(instances, voxels, reading.probabilities)
    density = prediction.reader.density
    raw = pooled_over_copies(raw, find_copies(reading.atoms, raw, symmetry), averaged=density.averaged)
    if prediction.neighbour_net is not None:
        d_min = float(density.d_min or 0.0)
        among = read_among_neighbours(prediction.neighbour_net, reading.atoms, raw, symmetry, d_min)
        raw = geometric_mean(raw, among, _SHARE_OF_NEIGHBOURS)
    return calibrated(raw, instances, voxels.views, classifier.calibration), Backbone(reading.atoms)


def segment(
    source: DensityMap | Path | str,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 (frozen)
    progress: ProgressCallback = ignore_progress,
    amplitudes: Amplitudes | None = None,
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
    amplitudes
        What was measured of the crystal, for more than one cycle; None reads it from the file of the map.

    Raises
    ------
    EdsegError
        One of its subclasses, with a sentence for the user, for every input that cannot be used.
    Cancelled
        If `progress` raised it; it is not an `EdsegError`.
    """
    clock = Clock(progress)
    if options.cycles == 1:
        segmentation = label_residues(read_voxels(source, options, clock), options, clock)
        return segmentation if isinstance(source, DensityMap) else _with_advice(segmentation, source)
    if not isinstance(source, DensityMap):
        with clock.stage("read"):
            amplitudes = amplitudes or read_amplitudes(source)
            source = read_map(source, resolution=options.resolution)
    reading, found = read_cycles(source, amplitudes, options, clock)
    return label_residues(reading, options, clock, found)


def _with_advice(segmentation: Segmentation, path: Path | str) -> Segmentation:
    """Return the result with a word on cycles where they are likely to help."""
    confidence = [residue.confidence for residue in segmentation.residues]
    sure = float(np.mean(confidence)) if confidence else 1.0
    if segmentation.region != "asu" or sure > _SURE or not _has_amplitudes(path):
        return segmentation
    advice = (
        f"About {sure:.0%} of the labels are expected to be right. The file holds measured amplitudes: if its phases "
        f"are not those of a finished model, --cycles {MOST_CYCLES // 2} may improve them and the labels."
    )
    return replace(segmentation, warnings=(*segmentation.warnings, advice))


def _has_amplitudes(path: Path | str) -> bool:
    try:
        return read_amplitudes(path) is not None
    except EdsegError:  # its map is sound
        return False


def read_cycles(
    density: DensityMap, amplitudes: Amplitudes | None, options: SegmentOptions, clock: Clock
) -> tuple[MapReading, FoundResidues]:
    """Read a map in the cycles asked for, see `edseg_engine.improvement.best_reading`.

    Raises
    ------
    EdsegError
        One of its subclasses: `OptionError` if there are no amplitudes, or those of `segment`.
    """
    measured = require_amplitudes(amplitudes)
    density, _ = with_resolution(density, options.resolution)
    readings = 0

    def read(density: DensityMap) -> tuple[MapReading, FoundResidues]:
        nonlocal readings
        first, readings = readings / options.cycles, readings + 1
        inner = Clock(_of_cycles(part_of(clock.progress, first, readings / options.cycles)))
        reading = read_voxels(density, options, inner)
        return reading, find_residues(reading.prediction, reading.classifier, options.n_residues, inner)

    with clock.stage("cycles"):
        return best_reading(density, measured, options.cycles, read, lambda pair: pair[1].read)


def require_amplitudes(amplitudes: Amplitudes | None) -> Amplitudes:
    """Return the amplitudes; raises `OptionError` if there are none, without which phases cannot be improved."""
    if amplitudes is None:
        raise OptionError(
            "Phases are improved with measured amplitudes, and the file of the map holds none: give a reflection file "
            "that has them beside the map coefficients, or leave --cycles away."
        )
    return amplitudes


def _of_cycles(progress: ProgressCallback) -> ProgressCallback:
    """Return a callback that reports a cycle as progress of the stage ``cycles``, as far as its network has come."""
    reached = 0.0

    def report(stage: Progress) -> None:
        nonlocal reached
        reached = stage.fraction if stage.stage == "network" else reached
        progress(replace(stage, stage="cycles", fraction=reached))

    return report


def label_residues(
    reading: MapReading, options: SegmentOptions, clock: Clock, found: FoundResidues | None = None
) -> Segmentation:
    """Do what comes after the network, see `segment`; nothing is found anew if `found` is what the voxels vote for."""
    density, prediction = reading.density, reading.prediction
    if found is None:
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
            *_residue_warnings(residues, found, options.n_residues),
        ),
        class_maps=class_maps(density, prediction.region, prediction.volume, prediction.first)
        if options.class_maps
        else None,
        voxels=_voxels(density, prediction, found, order) if options.voxels else None,
        improved=density if density.cycle > 1 else None,
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


def _residue_warnings(
    residues: tuple[ResidueProposal, ...], found: FoundResidues, n_residues: int | None
) -> Iterator[str]:
    if found.instances.is_choice:
        yield (
            f"About {len(residues) + found.instances.left_out} residues stand out in the map, and {n_residues} were "
            "asked for: the others, mostly small ones, are left out. Give the number of all residues, a sequence file "
            "with each chain as often as it occurs, or neither."
        )
    elif unlikely := composition_warning(found.classes.probabilities.argmax(1)):
        yield unlikely
    if not residues:
        yield "No residue was found: the map may be noise, wrongly scaled or not of a protein."
    elif n_residues is not None and len(residues) < n_residues:
        yield f"Only {len(residues)} of the {n_residues} residues asked for were found."
    elif float(np.mean([r.confidence for r in residues])) < _LOW_CONFIDENCE:
        yield "The mean confidence is low: check the resolution given, the phases and the hand of the map."
