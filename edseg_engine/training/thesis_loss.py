"""The loss of the thesis (6.3): Lovász-softmax for classes (5.2), squared error and Dice for offsets (6.2).

It differs from the thesis where maps do: density that belongs to no residue is not removed from them. It counts as
background for the classes, and its votes for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edseg_engine.networks.network import OFFSET_SCALE
from edseg_engine.training.loss import Compared, Loss, Losses, compare

#: Voxels over which the positional weight falls to zero, at all resolutions: F(x) = 1 - x / 8 (thesis 6.3).
FALL = 8.0
#: δ in Å at the beginning (thesis 6.4.1: 2 voxels).
MARGIN = 2.0
#: Å beyond δ at which a voxel is taken for no member at all: its membership is below 1e-4 there.
_REACH = 5.0
#: Votes that are compared with all centroids at a time: bounds the memory for their distances.
_CHUNK = 8192


def lovasz_softmax(probabilities: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Return the Lovász-softmax loss of voxels of any shape of volume (Berman et al. 2018, arXiv:1705.08790).

    It is the Lovász extension of one minus the intersection over union of each class that is there, in the mean over
    these; each voxel's contribution is multiplied by its weight (thesis 5.2.2).

    Parameters
    ----------
    probabilities
        shape (n, c): of the classes, by voxel.
    classes, weights
        shape (n,): true class and weight of each voxel.
    """
    present = torch.unique(classes)
    members = classes == present[:, None]
    errors = (members.to(probabilities.dtype) - probabilities.T[present]).abs()
    errors, order = errors.sort(dim=1, descending=True)
    members = members.gather(1, order)
    # By how much the Jaccard loss grows when the voxels are taken in, in their order: a member leaves the intersection,
    # any other voxel joins the union.
    inside = members.cumsum(1)
    total = inside[:, -1:]
    intersection = (total - inside).to(errors.dtype)
    union = total + (~members).cumsum(1)
    steps = torch.where(members, 1 / union, intersection / (union * (union - 1).clamp(min=1)))
    return (errors * steps * weights[order]).sum() / max(1, len(present))


def squared_error(offsets: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean squared length of the error of offsets (m, 3) (thesis 6.2.2)."""
    return ((offsets - truth).square().sum(1) * weights).sum() / max(1, len(weights))


def membership_dice(votes: Tensor, members: Tensor, centroids: Tensor, delta: Tensor) -> Tensor:
    """Return the Dice coefficient (k,) of each instance of one window with the voxels that vote for it (thesis 6.2.1).

    A voxel that votes within δ of a centroid is its member, M = 1; farther out M = 1 - tanh(distance - δ). Only
    pairs of votes and centroids near to each other are held in memory.

    Parameters
    ----------
    votes
        shape (m, 3): E, the positions that voxels in residues vote for.
    members
        shape (m,): instance that each of them belongs to.
    centroids
        shape (k, 3).
    delta
        δ, a number.
    """
    with torch.no_grad():
        close = [torch.cdist(part, centroids) < delta + _REACH for part in torch.split(votes, _CHUNK)]
        voxel, instance = torch.cat(close).nonzero(as_tuple=True) if close else (members, members)
    distance = torch.linalg.vector_norm(votes[voxel] - centroids[instance], dim=1)
    share = 1 - torch.tanh(torch.relu(distance - delta))
    nothing = votes.new_zeros(len(centroids))
    overlap = nothing.index_add(0, instance, share * (members[voxel] == instance))
    size = nothing.index_add(0, instance, share) + members.bincount(minlength=len(centroids))
    return 2 * overlap / size.clamp(min=1e-6)


class ThesisLoss(Loss):
    """L = W L_Lovász + W L_MSE + L_Dice + ||δ|| over all voxels with density; δ is trained along (thesis 6.3).

    Parameters
    ----------
    weights, spacing
        See `Loss`.
    votes
        Whether the network votes for centroids; if not, L = W L_Lovász (thesis 5.2).
    """

    terms = ("class_loss", "offset_loss", "dice_loss", "delta")

    def __init__(self, weights: Tensor, spacing: float = 1.0, votes: bool = True) -> None:
        super().__init__(weights, spacing)
        self.votes = votes
        self.delta = nn.Parameter(torch.tensor(MARGIN), requires_grad=votes)

    def forward(self, scores: Tensor, offsets: Tensor, batch: Mapping[str, Tensor]) -> Losses:
        seen = compare(scores, offsets, batch, self.weights, self.spacing)
        class_loss = lovasz_softmax(seen.scores.softmax(1), seen.classes, seen.weights)
        parts = [class_loss, *([class_loss.new_zeros(())] * 3)]
        if self.votes:
            vectors, truth = (OFFSET_SCALE * v[:, 0] for v in (seen.offsets, seen.truth))
            offset_loss = squared_error(vectors, truth, seen.weights[seen.inside])
            parts = [class_loss, offset_loss, self.dice_loss(seen, vectors, batch["points"]), self.delta.abs()]
        return Losses(torch.stack(parts).sum(), dict(zip(self.terms, parts, strict=True)), seen.accuracy())

    def dice_loss(self, seen: Compared, vectors: Tensor, points: Tensor) -> Tensor:
        """Return one minus the mean Dice coefficient of all instances of the batch.

        Parameters
        ----------
        vectors
            shape (m, 3): votes of the voxels in residues, relative to them, in Å.
        points
            See `Loss.forward`.
        """
        dice = []
        for window in torch.unique(seen.window):
            own = seen.window == window
            residues, members = torch.unique(seen.residue[own], return_inverse=True)
            votes, centroids = seen.places[own] + vectors[own], points[window, residues, 0]
            dice.append(membership_dice(votes, members, centroids, self.delta))
        return 1 - torch.cat(dice).mean() if dice else vectors.sum() * 0
