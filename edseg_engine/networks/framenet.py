"""The small network that reads a residue from the density in the frame of its own main chain.

The network of voxels sees residues in every orientation; here all have the same, so that few examples teach what the
density of a side chain looks like in maps of any quality.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edseg_engine.devices import runs_bfloat16
from edseg_engine.labels import N_LABELS, N_POINTS

#: Density points along each edge of the box that is read, and Å between them.
EDGE, SPACING = 16, 0.8
#: Edge of the blocks whose means, over all residues of a map, tell the network how good the map is.
_BLOCK = 4
#: Those means and the resolution.
N_CONTEXT = (EDGE // _BLOCK) ** 3 + 1

_USUAL_RESOLUTION = 2.5


class FrameNet(nn.Module):
    """Maps boxes of density to class scores and points of the residue.

    Parameters
    ----------
    channels
        Of the first convolution; the second has twice as many.
    hidden
        Units of each hidden layer.
    """

    def __init__(self, channels: int = 32, hidden: int = 384) -> None:
        super().__init__()
        self.first, self.second = nn.Conv3d(1, channels, 5, 2, 2), nn.Conv3d(channels, 2 * channels, 3, 2, 1)
        self.first_norm, self.second_norm = nn.BatchNorm3d(channels), nn.BatchNorm3d(2 * channels)
        self.hidden = nn.Sequential(
            nn.Linear(2 * channels * (EDGE // 4) ** 3 + N_CONTEXT, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
        )
        self.head = nn.Linear(hidden, N_LABELS + 3 * N_POINTS)

    @classmethod
    def of_shape(cls, state: Mapping[str, Tensor]) -> FrameNet:
        """Return a new network of the shape that `state` was taken from; raises KeyError if it was another kind."""
        channels, hidden = state["first.bias"].numel(), state["hidden.0.bias"].numel()
        if not channels or not hidden:
            raise KeyError("channels")
        return cls(channels, hidden)

    def forward(self, density: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Read boxes of density.

        Parameters
        ----------
        density
            shape (k, EDGE, EDGE, EDGE): normalised.
        context
            shape (k, N_CONTEXT): see `context_of`.

        Returns
        -------
        Tensor, shape (k, 17)
            Unnormalised class scores.
        Tensor, shape (k, N_POINTS, 3)
            `edseg_engine.labels.POINTS` in Å from CA, in the frame of the box.
        """
        x = F.gelu(self.first_norm(self.first(density[:, None])))
        x = F.gelu(self.second_norm(self.second(x)))
        scores, points = self.head(self.hidden(torch.cat([x.flatten(1), context], 1))).split(
            [N_LABELS, 3 * N_POINTS], dim=1
        )
        return scores, points.reshape(-1, N_POINTS, 3)

    @torch.inference_mode()
    def read(
        self, density: NDArray[np.floating], context: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return class probabilities (k, 17) and points (k, N_POINTS, 3) of the boxes of one map, as `forward`."""
        boxes = torch.from_numpy(density.astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16, enabled=runs_bfloat16(torch.device("cpu"))):
            scores, points = self(boxes, torch.from_numpy(context).expand(len(boxes), -1))
        return np.asarray(scores.double().softmax(1).numpy()), np.asarray(points.double().numpy())


def context_of(density: NDArray[np.floating], d_min: float) -> NDArray[np.float32]:
    """Return what the boxes of density (k, EDGE, EDGE, EDGE) of one map say of it, shape (N_CONTEXT,)."""
    mean = density.mean(0, dtype=np.float32) if len(density) else np.zeros((EDGE, EDGE, EDGE), np.float32)
    n = EDGE // _BLOCK
    blocks = mean.reshape(n, _BLOCK, n, _BLOCK, n, _BLOCK).mean((1, 3, 5)).reshape(-1)
    return np.append(blocks, d_min - _USUAL_RESOLUTION).astype(np.float32)
