"""What every network of this package offers, whatever its architecture, and the parts that they share."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Å per unit of the offset head, so that its outputs are of the order of one.
OFFSET_SCALE = 3.0


class NetworkConfig(Protocol):
    """Shape of a network; stored with the weights. A frozen dataclass."""

    #: Name of the architecture in weights files.
    architecture: ClassVar[str]

    @property
    def points(self) -> int:
        """How many of `edseg_engine.labels.POINTS` each voxel votes for; without any it cannot locate residues."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        ...

    def check(self) -> None:
        """Raise ValueError if no network can be like this."""
        ...


class Network(nn.Module):
    """Maps density ``(batch, 1, nx, ny, nz)`` of any size to class scores and offsets.

    Returns
    -------
    S : Tensor, shape (batch, 18, nx, ny, nz)
        Unnormalised class scores; softmax over axis 1 gives S(X).
    I : Tensor, shape (batch, 3 * points, nx, ny, nz)
        Offsets along x, y, z to the centroid of the voxel's residue, I(X), then to its other points, B(X), in the order
        of `edseg_engine.labels.POINTS` and units of `OFFSET_SCALE` Å.
    """

    config: NetworkConfig
    #: Whether windows larger than those of the training would be read differently.
    fixed_window: ClassVar[bool] = False

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return a copy that is faster and cannot be trained: normalisations folded in, channels last.

        It takes and returns volumes of `dtype`, of which its weights are, too.
        """
        net = copy.deepcopy(self).eval()
        net.fuse()
        return net.to(device, dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def fuse(self) -> None:
        """Fold normalisations into convolutions where the architecture allows it, for good; only in evaluation mode."""

    def freeze_statistics(self) -> None:
        """Let batch normalisations use, and keep, the statistics that they have, also while training."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()


def pad_to(x: Tensor, shape: torch.Size) -> Tensor:
    """Zero-pad or crop the far end of the three spatial axes to `shape` (adaptive zero padding, thesis 5.1)."""
    missing = [shape[axis] - x.shape[axis] for axis in (-1, -2, -3)]
    return F.pad(x, [p for m in missing for p in (0, m)]) if any(missing) else x
