"""The losses: classes by cross-entropy, offsets by a robust vector loss, both weighted down near window borders.

The thesis (6.2, 6.3) sums a Lovász-softmax loss over all voxels, an MSE and a Dice loss. Cross-entropy is what the
calibrated probabilities of the product need, and may be taken over a sample of voxels; smooth-L1 keeps voxels between
two residues, whose offset is ambiguous, from dominating as they do in a squared error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from edseg_engine.dataset.labelled import IGNORED
from edseg_engine.inference.normalise import DENSITY_THRESHOLD
from edseg_engine.labels import BACKGROUND
from edseg_engine.networks.stacknet import OFFSET_SCALE

#: Weight of the offset loss beside the class loss.
OFFSET_WEIGHT = 2.0


def frame_weights(size: int, frame: float) -> Tensor:
    """Return W (size, size, size): 1 inside, falling linearly to (almost) 0 over `frame` voxels (thesis 5.2.2)."""
    position = torch.arange(size, dtype=torch.float32)
    edge = torch.minimum(position, size - 1 - position)
    line = ((edge + 1) / (frame + 1)).clamp(max=1.0)
    return line[:, None, None] * line[None, :, None] * line[None, None, :]


@dataclass(frozen=True)
class Losses:
    """Loss of a batch and what it is made of; `accuracy` is the fraction of sampled residue voxels classed right."""

    total: Tensor
    classes: Tensor
    offsets: Tensor
    accuracy: Tensor


def combined_loss(scores: Tensor, offsets: Tensor, batch: dict[str, Tensor], weights: Tensor, n_samples: int) -> Losses:
    """Return the losses over a random sample of `n_samples` voxels with density of each batch.

    Parameters
    ----------
    scores, offsets
        Output of the network: (b, 18, n, n, n) and (b, 3, n, n, n).
    batch
        ``density`` (b, 1, n, n, n), ``classes`` (b, n, n, n), ``offsets`` (b, 3, n, n, n) in Å.
    weights
        Frame weights (n, n, n).
    """
    classes = batch["classes"].flatten()
    usable = (batch["density"].flatten() > DENSITY_THRESHOLD) & (classes != IGNORED)
    index = usable.nonzero()[:, 0]
    if len(index) > n_samples:
        index = index[torch.randint(len(index), (n_samples,), device=index.device)]
    if len(index) == 0:
        zero = scores.sum() * 0.0
        return Losses(zero, zero, zero, zero.detach())
    sample, voxel = index // weights.numel(), index % weights.numel()
    w = weights.flatten()[voxel]
    target = classes[index].long()
    # Advanced indexing on a channels-last view reads each sampled voxel's channels in one go.
    s = scores.flatten(2).permute(0, 2, 1)[sample, voxel].float()
    class_loss = (F.cross_entropy(s, target, reduction="none") * w).sum() / w.sum()
    inside = target != BACKGROUND
    o = offsets.flatten(2).permute(0, 2, 1)[sample, voxel][inside].float()
    truth = batch["offsets"].flatten(2).permute(0, 2, 1)[sample, voxel][inside].float() / OFFSET_SCALE
    w_inside = w[inside]
    norm = w_inside.sum().clamp(min=1.0)
    offset_loss = (F.smooth_l1_loss(o, truth, reduction="none", beta=0.2).sum(1) * w_inside).sum() / norm
    with torch.no_grad():
        right = (s[:, :BACKGROUND].argmax(1) == target)[inside]
        accuracy = (right * w_inside).sum() / norm
    return Losses(class_loss + OFFSET_WEIGHT * offset_loss, class_loss, offset_loss, accuracy)
