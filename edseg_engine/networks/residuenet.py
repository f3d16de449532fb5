"""The small network that reads a residue's class from the features of its voxels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edseg_engine.labels import N_LABELS


class ResidueNet(nn.Module):
    """Maps features (k, n_features) to unnormalised scores (k, 17): a linear layer and, beside it, two hidden layers.

    Parameters
    ----------
    n_features
        See `edseg_engine.residues.features`.
    hidden
        Units of each hidden layer.
    dropout
        Drop probability of hidden units while training.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int, hidden: int = 128, dropout: float = 0.4) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.linear = nn.Linear(n_features, N_LABELS)
        self.hidden = nn.Sequential(
            nn.Linear(n_features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, N_LABELS),
        )

    @classmethod
    def of_shape(cls, state: Mapping[str, Tensor]) -> ResidueNet:
        """Return a new network of the shape that `state` was taken from; raises KeyError if it was another kind."""
        return cls(state["mean"].numel(), state["hidden.0.bias"].numel())

    @property
    def n_features(self) -> int:
        return self.linear.in_features

    def standardize(self, features: Tensor) -> None:
        """Let features with the mean and deviation of `features` (k, n_features) enter as zero and one."""
        self.mean, self.scale = features.mean(0), features.std(0).clamp(min=1e-3)

    def forward(self, features: Tensor) -> Tensor:
        x = ((features - self.mean) / self.scale).clamp(-10, 10)
        return torch.as_tensor(self.linear(x) + self.hidden(x))

    @torch.inference_mode()
    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return class probabilities (k, 17) of features (k, n_features)."""
        return np.asarray(self(torch.from_numpy(features)).double().softmax(1).numpy())
