"""Make probabilities and confidence mean what they say: fit the parameters that are stored with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from edseg_engine.evaluation.evaluate import Proposals
from edseg_engine.extras import missing_extra
from edseg_engine.networks.card import Calibration
from edseg_engine.residues.classify import confidence_features
from edseg_engine.residues.instances import Instances

try:
    from sklearn.linear_model import LogisticRegression
except ImportError as error:
    raise missing_extra("scikit-learn", "train") from error


def fit_calibration(maps: Sequence[Proposals], applied: Calibration) -> Calibration:
    """Fit the calibration on what was found in maps.

    The temperature makes the probabilities of the matched residues most likely; the confidence is a logistic
    regression of "there is a residue and rank 1 is right" over all residues found, with K found.

    Parameters
    ----------
    applied
        The calibration with which they were found.
    """
    raw = [found.classes.probabilities ** (1 / applied.temperature) for found in maps]
    truth = np.concatenate([found.truth for found in maps])
    matched = truth >= 0
    logs = np.log(np.maximum(np.concatenate(raw), 1e-9))

    def loss(temperature: float) -> float:
        scaled = logs[matched] * temperature
        chosen = scaled[np.arange(matched.sum()), truth[matched]]
        return float((np.logaddexp.reduce(scaled, axis=1) - chosen).mean())

    temperature = float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)
    features = [_features(p, found.instances, temperature) for p, found in zip(raw, maps, strict=True)]
    right = np.concatenate([found.right for found in maps])
    fit = LogisticRegression(C=1e3).fit(np.concatenate(features), right)
    slope, votes, spread = (float(c) for c in fit.coef_[0])
    parameters = (temperature, float(fit.intercept_[0]), slope, votes, spread)
    return Calibration(*(round(p, 5) for p in parameters))


def _features(raw: NDArray[np.float64], instances: Instances, temperature: float) -> NDArray[np.float64]:
    p = raw**temperature
    return np.stack(confidence_features(p / p.sum(1, keepdims=True), instances), 1)
