"""What losses are made of: the voxels that they compare, how much each of them counts, and what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edseg_engine.dataset.labelled import IGNORED
from edseg_engine.inference.normalise import DENSITY_THRESHOLD
from edseg_engine.labels import BACKGROUND
from edseg_engine.networks.network import OFFSET_SCALE


def frame_weights(size: int, frame: float, fall: float | None = None) -> Tensor:
    """Return the positional weights W of the voxels of a window, shape (size, size, size) (thesis 5.2.2).

    W is the product over the axes of one inside the frame and, at d voxels from its inner edge, F(d) = 1 - d / fall.

    Parameters
    ----------
    size
        Edge of the window in voxels.
    frame
        Width l_frame of the frame in voxels.
    fall
        Voxels over which F would fall to zero. None takes one more than the frame has, so that each voxel counts for
        something; the thesis takes `frame` itself (5.2.2) or 8 (6.3), which are the same at 2 Å.
    """
    position = torch.arange(size, dtype=torch.float32)
    depth = torch.minimum(position, size - 1 - position)
    line = (1 - (frame - depth).clamp(min=0.0) / (frame + 1 if fall is None else fall)).clamp(min=0.0)
    return line[:, None, None] * line[None, :, None] * line[None, None, :]


@dataclass(frozen=True)
class Losses:
    """Loss of a batch.

    Attributes
    ----------
    total
        What is made small.
    terms
        What it is made of, by the names in `Loss.terms`.
    accuracy
        Fraction of the compared residue voxels that are classed right.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    accuracy: Tensor


class Loss(nn.Module):
    """Compares the answers of a network, ``loss(scores, offsets, batch)``, with the truth; returns `Losses`.

    Its parameters, if it has any, are trained along with those of the network.

    Parameters
    ----------
    weights
        Of the voxels of a window, shape (n, n, n), see `frame_weights`.
    spacing
        Å between voxels.
    """

    #: Names of its terms, the columns of a log.
    terms: tuple[str, ...]
    weights: Tensor

    def __init__(self, weights: Tensor, spacing: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)
        self.spacing = spacing

    def forward(self, scores: Tensor, offsets: Tensor, batch: Mapping[str, Tensor]) -> Losses:
        """Return the losses of one batch.

        Parameters
        ----------
        scores, offsets
            Output of the network: (b, 18, n, n, n) and (b, 3 * points, n, n, n).
        batch
            ``density`` (b, 1, n, n, n), ``classes`` and ``residues`` (b, n, n, n), ``points`` (b, k, n_points, 3) in Å,
            see `edseg_engine.dataset.labelled.Window`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Compared:
    """Voxels with density, n in all, m of them in residues: what the network says of them, and the truth.

    Attributes
    ----------
    scores
        shape (n, 18): unnormalised class scores.
    classes
        shape (n,): true classes.
    weights
        shape (n,): how much each counts.
    inside
        bool, shape (n,): which of them are in residues.
    window, residue
        shape (m,): window of the batch, and residue of the window, that each voxel in residues belongs to.
    places
        shape (m, 3): where it is in its window, in Å.
    offsets, truth
        shape (m, points, 3), in units of `OFFSET_SCALE` Å: votes of the network, and vectors to the points of the
        residue; NaN where a residue lacks one.
    """

    scores: Tensor
    classes: Tensor
    weights: Tensor
    inside: Tensor
    window: Tensor
    residue: Tensor
    places: Tensor
    offsets: Tensor
    truth: Tensor

    def accuracy(self) -> Tensor:
        """Return the weighted fraction of the voxels in residues whose best residue class is the true one."""
        right = (self.scores.detach()[:, :BACKGROUND].argmax(1) == self.classes)[self.inside]
        weights = self.weights[self.inside]
        return (right * weights).sum() / weights.sum().clamp(min=1.0)


def compare(
    scores: Tensor,
    offsets: Tensor,
    batch: Mapping[str, Tensor],
    weights: Tensor,
    spacing: float,
    n_samples: int | None = None,
) -> Compared:
    """Look at the voxels with density whose class is known, or at a random sample of `n_samples` of them.

    The other parameters are those of `Loss`.
    """
    classes = batch["classes"].flatten()
    usable = (batch["density"].flatten() > DENSITY_THRESHOLD) & (classes != IGNORED)
    index = usable.nonzero()[:, 0]
    if n_samples is not None and len(index) > n_samples:
        index = index[torch.randint(len(index), (n_samples,), device=index.device)]
    window, voxel = index // weights.numel(), index % weights.numel()
    target = classes[index].long()
    # Advanced indexing on a channels-last view reads each voxel's channels in one go.
    s = scores.flatten(2).permute(0, 2, 1)[window, voxel].float()
    w = weights.flatten()[voxel]
    inside = target != BACKGROUND
    window, voxel = window[inside], voxel[inside]
    n_points = offsets.shape[1] // 3
    o = offsets.flatten(2).permute(0, 2, 1)[window, voxel].float().view(len(voxel), n_points, 3)
    size = torch.tensor(weights.shape, device=voxel.device)
    places = torch.stack([voxel // (size[1] * size[2]), voxel // size[2] % size[1], voxel % size[2]], 1) * spacing
    residue = batch["residues"].flatten()[index[inside]].long()
    truth = (batch["points"][window, residue][:, :n_points] - places[:, None]) / OFFSET_SCALE
    return Compared(s, target, w, inside, window, residue, places, o, truth)
