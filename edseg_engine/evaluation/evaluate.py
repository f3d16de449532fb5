"""Run maps whose model is known and count what was found: with K given, with K found, and with the true instances."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.thesis import CULLING
from edseg_engine.errors import OptionError
from edseg_engine.evaluation.atoms import atom_errors
from edseg_engine.evaluation.matching import Matching, match
from edseg_engine.evaluation.metrics import (
    ResidueCounts,
    VoxelCounts,
    count_owners,
    count_residues,
    count_voxels,
    instance_dice,
)
from edseg_engine.improvement import best_reading
from edseg_engine.inference.volume import Volume
from edseg_engine.labels import BACKGROUND
from edseg_engine.networks.weights import Weights
from edseg_engine.options import MOST_CYCLES, SegmentOptions, check_number
from edseg_engine.pipeline import (
    FoundResidues,
    MapPrediction,
    find_residues,
    name_residues,
    predict_map,
    require_votes,
)
from edseg_engine.residues.backbone import Backbone
from edseg_engine.residues.classify import Classes, Classifier
from edseg_engine.residues.instances import Instances
from edseg_engine.residues.known import KnownResidues, owners


def culled(volume: Volume, residues: KnownResidues, symmetry: Symmetry) -> Volume:
    """Return the volume without density farther than `CULLING` Å from the atoms of residues and their copies.

    This is the protocol of the thesis's tables (4.2). It cannot be followed with a map that has no model yet.
    """
    index = np.flatnonzero(volume.values.reshape(-1) != 0)
    far = np.concatenate(
        [
            chunk[owners(residues, symmetry, volume.positions(chunk), CULLING)[0] < 0]
            for chunk in np.array_split(index, max(1, len(index) // 1_000_000))
        ]
    )
    values, occupied = volume.values.copy(), volume.occupied.copy()
    values.reshape(-1)[far] = 0.0
    occupied.reshape(-1)[far] = False
    return replace(volume, values=values, occupied=occupied)


@dataclass(frozen=True)
class Proposals:
    """The residues found in one map with K found, for calibration.

    Attributes
    ----------
    instances, classes
        What was found.
    truth
        shape (k,): true class of each found residue, -1 where there is no residue within 3 Å.
    cycle
        In which they were found.
    """

    instances: Instances
    classes: Classes
    truth: NDArray[np.intp]
    cycle: int = 1

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether rank 1 is the true class, shape (k,)."""
        return np.asarray(self.classes.probabilities.argmax(1) == self.truth)


@dataclass(frozen=True)
class MapScore:
    """What one map gave; `atoms` are the errors (Å) of the votes for atoms, see `atom_errors`."""

    name: str
    d_min: float
    k_given: ResidueCounts
    k_found: ResidueCounts
    true_instances: ResidueCounts
    voxels: VoxelCounts
    dice: float
    atoms: NDArray[np.float64] = field(repr=False)
    seconds: float
    proposals: Proposals = field(repr=False)


@dataclass(frozen=True)
class Protocol:
    """How maps are run.

    Attributes
    ----------
    orientations, views
        See `edseg_engine.options.SegmentOptions`.
    cull
        Remove all density that is not of the model first, see `culled`.
    summed
        Label residues by the summed probabilities of their voxels (thesis 3.3), neither by the weights' own classifier
        nor in their frames.
    alone
        Run the weights without the shipped network that reads beside them in the product.
    cycles
        See `edseg_engine.options.SegmentOptions`.
    """

    orientations: int = SegmentOptions.orientations
    views: int = SegmentOptions.views
    cull: bool = False
    summed: bool = False
    alone: bool = False
    cycles: int = SegmentOptions.cycles

    def __post_init__(self) -> None:
        check_number("cycles", self.cycles, MOST_CYCLES)


#: Maps as a user has them.
AS_IS = Protocol()


def run_network(known: KnownMap, weights: Weights, device: torch.device, protocol: Protocol) -> MapPrediction:
    """Take a map the product's way as far as the network."""
    region = choose_region(known.density, "auto")

    def cull(volume: Volume) -> Volume:
        return culled(volume, known.residues, region.symmetry)

    return predict_map(
        known.density,
        region,
        weights,
        device,
        orientations=protocol.orientations,
        views=protocol.views,
        edit=cull if protocol.cull else None,
        alone=protocol.alone,
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """A map that was read, and what was found in it."""

    density: DensityMap
    prediction: MapPrediction
    found: FoundResidues


def _classifier(weights: Weights, protocol: Protocol, cycle: int) -> Classifier:
    return Classifier() if protocol.summed else Classifier.of(weights, cycle)


def _read(known: KnownMap, weights: Weights, device: torch.device, protocol: Protocol, n_residues: int | None) -> _Read:
    """Take a map the product's way as far as its residues, `n_residues` of them if the number is given."""
    require_votes(weights)

    def read(density: DensityMap) -> _Read:
        prediction = run_network(replace(known, density=density), weights, device, protocol)
        if protocol.summed:
            prediction = replace(prediction, reader=None)
        classifier = _classifier(weights, protocol, density.cycle)
        return _Read(density, prediction, find_residues(prediction, classifier, n_residues))

    if protocol.cycles == 1:
        return read(known.density)
    if known.amplitudes is None:
        raise OptionError(f"{known.name} has no measured amplitudes, without which phases are not improved.")
    if protocol.alone and weights.net.config.points == 1:
        raise OptionError("Without the network beside them, these weights vote for no atoms to improve phases with.")
    return best_reading(known.density, known.amplitudes, protocol.cycles, read, lambda each: each.found.read)


def match_residues(known: KnownMap, prediction: MapPrediction, found: FoundResidues) -> Matching:
    """Return which residue found is which of the model."""
    return match(found.instances.centroids, known.residues.centroids, prediction.region.symmetry)


def score_map(known: KnownMap, weights: Weights, device: torch.device, protocol: Protocol) -> MapScore:
    """Run one map through the pipeline and compare with its model, matching centroids within 3 Å under symmetry.

    Raises
    ------
    WeightsError
        If the network cannot locate residues; see `edseg_engine.evaluation.given`.
    """
    start = time.perf_counter()
    labels = known.residues.labels
    best = _read(known, weights, device, protocol, len(labels))
    prediction, given = best.prediction, best.found
    matching = match_residues(known, prediction, given)
    seconds = time.perf_counter() - start
    classifier = _classifier(weights, protocol, best.density.cycle)
    if protocol.cycles == 1:
        own = replace(best, found=find_residues(prediction, classifier))
    else:
        own = _read(known, weights, device, protocol, None)
    found = own.found
    found_matching = match_residues(known, own.prediction, found)
    proposals = _proposals(known, own, found_matching)
    owner, truth, own_centroid = true_voxels(known.residues, prediction, weights.card.range.label_radius)
    return MapScore(
        known.name,
        float(known.density.d_min or 0.0),
        count_residues(given.classes.probabilities, labels, matching),
        count_residues(found.classes.probabilities, labels, found_matching),
        _with_true_instances(owner, own_centroid, prediction, known.residues, classifier),
        count_voxels(prediction.voxels.probabilities, truth),
        instance_dice(given.instances.members, owner, matching, len(labels)),
        atom_errors(known.residues, given, matching, prediction.region.symmetry),
        seconds,
        proposals,
    )


def propose(known: KnownMap, weights: Weights, device: torch.device, protocol: Protocol) -> Proposals:
    """Return the residues found in a map with K found, and what they are.

    Raises
    ------
    WeightsError
        If the network cannot locate residues.
    """
    own = _read(known, weights, device, protocol, None)
    return _proposals(known, own, match_residues(known, own.prediction, own.found))


def _proposals(known: KnownMap, own: _Read, matching: Matching) -> Proposals:
    truth = np.full(len(own.found.instances), -1, np.intp)
    truth[matching.found] = known.residues.labels[matching.true]
    return Proposals(own.found.instances, own.found.classes, truth, own.density.cycle)


def true_voxels(
    residues: KnownResidues, prediction: MapPrediction, label_radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return of each voxel the true residue (negative: none), its class, and its centroid (Å)."""
    positions = prediction.voxels.positions.astype(np.float64)
    owner, centroids = owners(residues, prediction.region.symmetry, positions, label_radius)
    truth = np.where(owner >= 0, residues.labels[np.maximum(owner, 0)], np.where(owner == -1, BACKGROUND, -1))
    return owner, truth, centroids


def _with_true_instances(
    owner: NDArray[np.intp],
    centroids: NDArray[np.float64],
    prediction: MapPrediction,
    residues: KnownResidues,
    classifier: Classifier,
) -> ResidueCounts:
    """Classify the residues of the model from their own voxels and main chains, copies and neighbours heeded."""
    voxels, k, inside = prediction.voxels, len(residues.labels), np.flatnonzero(owner >= 0)
    weights, members = voxels.weights[inside], owner[inside]
    squares = ((voxels.votes[inside] - centroids[inside]) ** 2).sum(1)
    votes = np.bincount(members, weights, minlength=k).astype(np.float64)
    spread = np.sqrt(np.bincount(members, weights * squares, minlength=k) / np.maximum(votes, 1e-9))
    true = Instances(np.zeros((k, 3)), np.maximum(owner, -1), votes, spread)
    classes, _ = name_residues(prediction, true, Backbone(residues.points[:, 1:]), classifier)
    return count_owners(classes.probabilities, residues.labels, owner)


def score_maps(
    maps: Iterable[KnownMap],
    choose: Callable[[KnownMap], Weights],
    device: torch.device,
    report: Callable[[MapScore], None],
    protocol: Protocol = AS_IS,
) -> list[MapScore]:
    """Score every map with the weights that `choose` gives it; `report` is called after each."""
    scores = []
    for known in maps:
        score = score_map(known, choose(known), device, protocol)
        report(score)
        scores.append(score)
    return scores
