"""From the voxels of an instance to its residue class and how sure it is.

The probabilities of the voxels are summed, as the thesis does (3.3). Weights that have been given a classifier of
residues (`edseg_engine.networks.residuenet`) take the geometric mean of that and of what the classifier says: they err
on different residues. So does what was read in the frames of the residues (`edseg_engine.inference.frames`). The result
is calibrated, after what copies say of each other (`edseg_engine.residues.ncs`) and what is likely among neighbours
(`edseg_engine.inference.neighbours`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edseg_engine.errors import WeightsError
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.labels import N_LABELS
from edseg_engine.networks.card import Calibration
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.networks.weights import Weights, coarse_beside
from edseg_engine.residues.composition import highest_confidence
from edseg_engine.residues.features import N_FEATURES, residue_features
from edseg_engine.residues.instances import Instances

#: Weight of what is read in the frames of residues, in the geometric mean with what their voxels say: in a map where
#: the voxels are sure of all, and what is added where they are sure of none, for frames were trained on poor phases.
_SHARE_OF_FRAMES, _LARGER_SHARE = 0.35, 0.6
#: Factor of this weight in coarse maps.
_TRUST_IN_COARSE = 0.6


@dataclass(frozen=True)
class Classifier:
    """What turns instances into classes.

    Attributes
    ----------
    net
        Classifier of residues; None leaves the summed probabilities of their voxels alone.
    calibration
        Applied to either.
    trust
        Factor of the share of what is read in the frames of residues.
    """

    net: ResidueNet | None = None
    calibration: Calibration = field(default_factory=Calibration)
    trust: float = 1.0

    @classmethod
    def of(cls, weights: Weights, cycle: int = 1) -> Classifier:
        """Return the classifier that is stored with `weights`, for maps of a cycle of improvement.

        Raises
        ------
        WeightsError
            If it reads other features than this version computes.
        """
        net = weights.residue_net
        if net is not None and net.n_features != N_FEATURES:
            raise WeightsError(
                f"{weights.info.name} reads {net.n_features} features of each residue; this version of edseg computes "
                f"{N_FEATURES}."
            )
        return cls(net, weights.card.calibration_of(cycle), _TRUST_IN_COARSE if coarse_beside(weights) else 1.0)

    def raw(
        self, instances: Instances, prediction: VoxelPrediction, in_frames: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return class probabilities (k, 17) that are not calibrated, see `classify`."""
        said = summed_probabilities(instances.members, prediction.probabilities, len(instances))
        if self.net is not None:
            said = geometric_mean(said, self.net.probabilities(residue_features(instances, prediction)), 0.5)
        if in_frames is None or not len(said):
            return said
        share = self.trust * (_SHARE_OF_FRAMES + _LARGER_SHARE * (1 - float(said.max(1).mean())))
        return np.where(np.isfinite(in_frames), geometric_mean(said, in_frames, share), said)


@dataclass(frozen=True)
class Classes:
    """The classes of k instances.

    Attributes
    ----------
    probabilities
        shape (k, 17), rows sum to one.
    confidence
        shape (k,): probability that rank 1 is right; low where the labels are those of no protein.
    n_voxels
        shape (k,): voxels that voted, in the mean over views.
    """

    probabilities: NDArray[np.float64]
    confidence: NDArray[np.float64]
    n_voxels: NDArray[np.intp]


def summed_probabilities(members: NDArray[np.intp], probabilities: NDArray[np.floating], k: int) -> NDArray[np.float64]:
    """Return the mean class probabilities (k, 17) over the voxels of each instance, scaled to sum to one."""
    inside = members >= 0
    chosen = probabilities[inside].astype(np.float32)
    sums = [np.bincount(members[inside], chosen[:, c], minlength=k) for c in range(N_LABELS)]
    positive = np.stack(sums, 1).astype(np.float64) + 1e-6
    return np.asarray(positive / positive.sum(1, keepdims=True))


def geometric_mean(first: NDArray[np.float64], second: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the geometric mean of class probabilities (k, 17), the second with the weight `share`."""
    mean = np.maximum(first, 1e-9) ** (1 - share) * np.maximum(second, 1e-9) ** share
    return np.asarray(mean / mean.sum(1, keepdims=True))


def confidence_features(
    probabilities: NDArray[np.float64], instances: Instances
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return logit(p1), log of the relative votes and the spread (Å) of each instance, each of shape (k,)."""
    p1 = np.clip(probabilities.max(1), 1e-4, 1 - 1e-4) if len(probabilities) else np.zeros(0)
    relative = instances.votes / np.median(instances.votes) if len(instances) else instances.votes
    return np.log(p1 / (1 - p1)), np.log(np.clip(relative, 1e-3, None)), instances.spread


def classify(
    instances: Instances,
    prediction: VoxelPrediction,
    classifier: Classifier,
    in_frames: NDArray[np.float64] | None = None,
) -> Classes:
    """Classify every instance that was found in `prediction`.

    Parameters
    ----------
    in_frames
        Class probabilities (k, 17) read in the frames of the instances, if they were; NaN where one was not.
    """
    raw = classifier.raw(instances, prediction, in_frames)
    return calibrated(raw, instances, prediction.views, classifier.calibration)


def calibrated(raw: NDArray[np.float64], instances: Instances, views: int, calibration: Calibration) -> Classes:
    """Return the classes of instances found in `views` views, whose class probabilities are `raw` (k, 17)."""
    probabilities = np.maximum(raw, 1e-9) ** calibration.temperature
    probabilities /= probabilities.sum(1, keepdims=True)
    logit, votes, spread = confidence_features(probabilities, instances)
    score = calibration.intercept + calibration.slope * logit + calibration.votes * votes + calibration.spread * spread
    confidence = 1 / (1 + np.exp(-score))
    if not instances.is_choice:  # those that stand out most are no fair sample of a protein
        confidence = np.minimum(confidence, highest_confidence(probabilities.argmax(1)))
    inside = instances.members[instances.members >= 0]
    n_voxels = np.bincount(inside, minlength=len(instances)) / views
    return Classes(probabilities, confidence, np.ceil(n_voxels).astype(np.intp))
