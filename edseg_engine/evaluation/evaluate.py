"""Run maps whose model is known and count what was found: with K given, with K found, and with the true instances."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.crystal.region import choose_region
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.criteria import fold_of
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.dataset.phases import REFINED, PhaseQuality
from edseg_engine.dataset.simulate import SimulationOptions, simulate_map
from edseg_engine.dataset.thesis import CULLING
from edseg_engine.errors import ResolutionError
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
from edseg_engine.inference.volume import Volume
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.read import read_map
from edseg_engine.labels import BACKGROUND
from edseg_engine.networks.weights import Weights
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import FoundResidues, MapPrediction, find_residues, predict_map, require_votes
from edseg_engine.residues.classify import Classes, Classifier, classify
from edseg_engine.residues.instances import Instances
from edseg_engine.residues.known import KnownResidues, known_residues, owners


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
    """

    instances: Instances
    classes: Classes
    truth: NDArray[np.intp]

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


def experimental_maps(
    folder: Path, split: str, low: float, high: float, cut: float | None = None, quality: PhaseQuality = REFINED
) -> Iterator[KnownMap]:
    """Yield the experimental crystals of a split whose resolution is in [low, high) Å.

    Parameters
    ----------
    cut
        d_min (Å) at which the data are cut.
    quality
        Of the phases, seeded by the crystal's place in the index; crystals without amplitudes are left out unless it is
        that of the refined model.
    """
    for number, entry in enumerate(read_index(folder, split)):
        if low <= entry.d_min < high:
            crystal, d_min = ExperimentalCrystal(entry), max(cut or 0.0, entry.d_min)
            if quality.kind == "refined":
                yield KnownMap(crystal.density(d_min), crystal.residues, entry.name)
            elif crystal.has_amplitudes:
                rng = np.random.default_rng([11, number])
                yield KnownMap(crystal.initial_density(d_min, quality, rng), crystal.residues, entry.name)


def simulated_maps(
    folder: Path, split: str, d_min: float, options: SimulationOptions, every: int = 1, fold: int | None = None
) -> Iterator[KnownMap]:
    """Yield simulated maps of every `every`-th structure of a split at `d_min` Å, seeded by its place in the split.

    With a `fold`, only the proteins of it count, see `edseg_engine.dataset.criteria.fold_of`.
    """
    everything = enumerate((pack, i) for pack in structures_of_split(folder, split) for i in range(len(pack)))
    chosen = (place for place in everything if fold in (None, fold_of(place[1][0].names[place[1][1]])))
    for number, (pack, i) in itertools.islice(chosen, 0, None, every):
        structure = pack[i]
        density = simulate_map(structure, d_min, np.random.default_rng([7, number]), options)
        yield KnownMap(density, known_residues(structure[0]), structure.name)


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
    """

    orientations: int = SegmentOptions.orientations
    views: int = SegmentOptions.views
    cull: bool = False
    summed: bool = False
    alone: bool = False


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
    require_votes(weights)
    start = time.perf_counter()
    prediction, labels = run_network(known, weights, device, protocol), known.residues.labels
    if protocol.summed:
        prediction = replace(prediction, reader=None)
    classifier = Classifier() if protocol.summed else Classifier.of(weights)
    given = find_residues(prediction, classifier, len(labels))
    matching = match_residues(known, prediction, given)
    seconds = time.perf_counter() - start
    found = find_residues(prediction, classifier)
    found_matching = match_residues(known, prediction, found)
    owner, truth, own_centroid = true_voxels(known.residues, prediction, weights.card.range.label_radius)
    found_truth = np.full(len(found.instances), -1, np.intp)
    found_truth[found_matching.found] = labels[found_matching.true]
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
        Proposals(found.instances, found.classes, found_truth),
    )


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
    """Classify the residues of the model from their own voxels and main chains."""
    voxels, k, inside = prediction.voxels, len(residues.labels), np.flatnonzero(owner >= 0)
    weights, members = voxels.weights[inside], owner[inside]
    squares = ((voxels.votes[inside] - centroids[inside]) ** 2).sum(1)
    votes = np.bincount(members, weights, minlength=k).astype(np.float64)
    spread = np.sqrt(np.bincount(members, weights * squares, minlength=k) / np.maximum(votes, 1e-9))
    true = Instances(np.zeros((k, 3)), np.maximum(owner, -1), votes, spread)
    in_frames = prediction.in_frames(residues.points[:, 1:])
    return count_owners(classify(true, voxels, classifier, in_frames).probabilities, residues.labels, owner)


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


def one_map(map_path: Path, model_path: Path, d_min: float | None) -> KnownMap:
    """Return a user's own map with its own model.

    Raises
    ------
    EdsegError
        If the map or the model cannot be read, or the resolution is not known.
    """
    density = read_map(map_path, resolution=d_min)
    if density.d_min is None:
        raise ResolutionError(f"{map_path} does not store its resolution; give it with --resolution.")
    return KnownMap(density, known_residues(read_model(model_path)[0]), map_path.name)
