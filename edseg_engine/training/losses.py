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

#: Weights of the offset losses beside the class loss: to the centroid, and the mean over all other points.
OFFSET_WEIGHT, ATOM_WEIGHT = 2.0, 2.0


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
    atoms: Tensor
    accuracy: Tensor


def combined_loss(
    scores: Tensor,
    offsets: Tensor,
    batch: dict[str, Tensor],
    weights: Tensor,
    n_samples: int,
    spacing: float = 1.0,
    atom_weight: float = ATOM_WEIGHT,
) -> Losses:
    """Return the losses over a random sample of `n_samples` voxels with density of each batch.

    Parameters
    ----------
    scores, offsets
        Output of the network: (b, 18, n, n, n) and (b, 3 * n_points, n, n, n).
    batch
        ``density`` (b, 1, n, n, n), ``classes`` and ``residues`` (b, n, n, n), ``points`` (b, k, n_points, 3) in Å, see
        `edseg_engine.dataset.labelled.Window`.
    weights
        Frame weights (n, n, n).
    spacing
        Å between voxels.
    atom_weight
        Of the mean loss of the points other than the centroid.
    """
    classes = batch["classes"].flatten()
    usable = (batch["density"].flatten() > DENSITY_THRESHOLD) & (classes != IGNORED)
    index = usable.nonzero()[:, 0]
    if len(index) > n_samples:
        index = index[torch.randint(len(index), (n_samples,), device=index.device)]
    if len(index) == 0:
        zero = scores.sum() * 0.0
        return Losses(zero, zero, zero, zero, zero.detach())
    sample, voxel = index // weights.numel(), index % weights.numel()
    w = weights.flatten()[voxel]
    target = classes[index].long()
    # Advanced indexing on a channels-last view reads each sampled voxel's channels in one go.
    s = scores.flatten(2).permute(0, 2, 1)[sample, voxel].float()
    class_loss = (F.cross_entropy(s, target, reduction="none") * w).sum() / w.sum()
    inside = target != BACKGROUND
    w_inside = w[inside]
    norm = w_inside.sum().clamp(min=1.0)
    sample, voxel = sample[inside], voxel[inside]
    o = offsets.flatten(2).permute(0, 2, 1)[sample, voxel].float().view(-1, offsets.shape[1] // 3, 3)
    size = torch.tensor(weights.shape, device=voxel.device)
    place = torch.stack([voxel // (size[1] * size[2]), voxel // size[2] % size[1], voxel % size[2]], 1) * spacing
    points = batch["points"][sample, batch["residues"].flatten()[index[inside]].long()]
    truth = (points[:, : o.shape[1]] - place[:, None]) / OFFSET_SCALE
    known = torch.isfinite(truth).all(2)
    error = F.smooth_l1_loss(o, truth.where(known[..., None], o.detach()), reduction="none", beta=0.2).sum(2)
    by_point = (error * w_inside[:, None]).sum(0) / (known * w_inside[:, None]).sum(0).clamp(min=1.0)
    offset_loss, atom_loss = by_point[0], by_point[1:].sum() / max(1, len(by_point) - 1)
    with torch.no_grad():
        right = (s[:, :BACKGROUND].argmax(1) == target)[inside]
        accuracy = (right * w_inside).sum() / norm
    total = class_loss + OFFSET_WEIGHT * offset_loss + atom_weight * atom_loss
    return Losses(total, class_loss, offset_loss, atom_loss, accuracy)
