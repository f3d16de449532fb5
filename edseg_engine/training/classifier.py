"""Train the classifier of residues on what a trained network predicts for crystals of the training split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edseg_engine.evaluation.evaluate import AS_IS, match_residues, run_network
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.networks.weights import Weights
from edseg_engine.pipeline import find_residues, require_votes
from edseg_engine.residues.classify import Classifier
from edseg_engine.residues.features import N_FEATURES, residue_features
from edseg_engine.training.windows import CrystalSource

#: Crystals with fewer or more residues in the asymmetric unit are left out: they teach little, or cost too much.
RESIDUES = (40, 700)
_EPOCHS, _BATCH = 30, 256


@dataclass(frozen=True)
class ResidueSet:
    """Features (n, N_FEATURES) and true classes (n,) of residues."""

    features: NDArray[np.float32]
    labels: NDArray[np.intp]


def gather_residues(
    weights: Weights, source: CrystalSource, n_crystals: int, seed: int, report: Callable[[int], None]
) -> ResidueSet:
    """Run `n_crystals` crystals of `source` with K given and keep the residues found within 3 Å of a true one.

    `report` gets the number of crystals done.

    Raises
    ------
    WeightsError
        If the network cannot locate residues.
    """
    require_votes(weights)
    rng = np.random.default_rng([seed, 17])
    features: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.intp]] = []
    while len(features) < n_crystals:
        known = source.draw(rng)
        if not RESIDUES[0] <= len(known.residues.labels) <= RESIDUES[1]:
            continue
        prediction = replace(run_network(known, weights, torch.device("cpu"), AS_IS), reader=None)
        found = find_residues(prediction, Classifier(), len(known.residues.labels))
        matching = match_residues(known, prediction, found)
        features.append(residue_features(found.instances, prediction.voxels)[matching.found])
        labels.append(known.residues.labels[matching.true])
        report(len(features))
    return ResidueSet(np.concatenate(features), np.concatenate(labels))


def fit_residue_net(residues: ResidueSet, seed: int) -> ResidueNet:
    """Fit by cross-entropy (AdamW, one cycle of the learning rate)."""
    torch.manual_seed(seed)
    features, labels = torch.from_numpy(residues.features), torch.from_numpy(residues.labels.astype(np.int64))
    net = ResidueNet(N_FEATURES)
    net.standardize(features)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.1)
    steps = _EPOCHS * -(-len(features) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(_EPOCHS):
        for batch in torch.split(torch.randperm(len(features)), _BATCH):
            noise = 0.05 * net.scale * torch.randn(len(batch), N_FEATURES)
            loss = F.cross_entropy(net(features[batch] + noise), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return net.eval()
