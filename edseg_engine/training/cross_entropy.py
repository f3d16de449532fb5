"""The loss of the shipped networks: classes by cross-entropy, offsets by a robust vector loss, of a sample of voxels.

Cross-entropy is what the calibrated probabilities of the product need; smooth-L1 keeps voxels between two residues,
whose offset is ambiguous, from dominating as they do in a squared error.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from edseg_engine.networks.network import OFFSET_SCALE
from edseg_engine.training.chemistry import strain
from edseg_engine.training.loss import Loss, Losses, compare

#: Weights of the offset losses beside the class loss: to the centroid, and the mean over all other points.
OFFSET_WEIGHT, ATOM_WEIGHT = 2.0, 2.0
#: Error of a component, in units of `OFFSET_SCALE` Å, from which on it counts linearly.
_LINEAR = 0.2


class CrossEntropyLoss(Loss):
    """Losses over a random sample of `n_samples` voxels with density of each batch.

    Parameters
    ----------
    weights, spacing
        See `Loss`.
    atom_weight
        Of the mean loss of the points other than the centroid.
    chemistry_weight
        Of the strain (Å²) of the backbones that voxels vote for, see `edseg_engine.training.chemistry`.
    """

    terms: tuple[str, ...] = ("class_loss", "offset_loss", "atom_loss")

    def __init__(
        self,
        weights: Tensor,
        n_samples: int,
        spacing: float = 1.0,
        atom_weight: float = ATOM_WEIGHT,
        chemistry_weight: float = 0.0,
    ) -> None:
        super().__init__(weights, spacing)
        self.n_samples, self.atom_weight, self.chemistry_weight = n_samples, atom_weight, chemistry_weight
        if chemistry_weight:
            self.terms = (*self.terms, "chemistry_loss")

    def forward(self, scores: Tensor, offsets: Tensor, batch: Mapping[str, Tensor]) -> Losses:
        seen = compare(scores, offsets, batch, self.weights, self.spacing, self.n_samples)
        by_voxel = F.cross_entropy(seen.scores, seen.classes, reduction="none")
        class_loss = (by_voxel * seen.weights).sum() / seen.weights.sum().clamp(min=1e-6)
        weights = seen.weights[seen.inside, None]
        known = torch.isfinite(seen.truth).all(2)
        truth = seen.truth.where(known[..., None], seen.offsets.detach())
        error = F.smooth_l1_loss(seen.offsets, truth, reduction="none", beta=_LINEAR).sum(2)
        by_point = (error * weights).sum(0) / (known * weights).sum(0).clamp(min=1.0)
        offset_loss, atom_loss = by_point[:1].sum(), by_point[1:].sum() / max(1, len(by_point) - 1)
        total = class_loss + OFFSET_WEIGHT * offset_loss + self.atom_weight * atom_loss
        parts = [class_loss, offset_loss, atom_loss]
        if self.chemistry_weight:
            by_voxel = strain(OFFSET_SCALE * seen.offsets[:, 1:], known[:, 1:])
            parts.append((by_voxel * weights[:, 0]).sum() / weights.sum().clamp(min=1e-6))
            total = total + self.chemistry_weight * parts[-1]
        return Losses(total, dict(zip(self.terms, parts, strict=True)), seen.accuracy())
