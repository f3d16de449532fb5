"""MT-StackNet: one forward pass from density to class scores S(X) and offset vectors I(X) (thesis, section 6.1).

The stack has three levels. Down Blocks go to the next lower level by a strided convolution, Skip Blocks process what
they leave behind, Up Blocks bring it up again by a transpose convolution, Concatenation Blocks collect every level
for the classes. There is no bottleneck. Where the thesis is silent or slow, this is what was chosen:

* Width and number of residual blocks are free for each level: a layer at full resolution costs 64 times as much per
  channel pair as one at the lowest level and sees the least of a residue, so few narrow blocks stand there.
* A Concatenation Block works at its own level's resolution, and the 1x1x1 class convolution is split by level. A 1x1x1
  convolution commutes with trilinear interpolation, so summing the levels' scores after resizing equals the thesis's
  convolution over the concatenated, resized features, at a fraction of the cost.
* The background score is one of the 18 classes; offsets leave the network in units of ``OFFSET_SCALE`` Å.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edseg_engine.labels import N_CLASSES, N_POINTS

#: Å per unit of the offset head, so that its outputs are of the order of one.
OFFSET_SCALE = 3.0
_ATOM_FEATURES = 64


@dataclass(frozen=True)
class StackNetConfig:
    """Shape of the network; stored with the weights.

    Attributes
    ----------
    widths
        Channels of each stack level, from full resolution down. The thesis doubles a base width.
    blocks
        Residual blocks in each Down, Skip and Up Block of a level.
    concatenation_blocks
        Residual blocks in each Concatenation Block of a level.
    dropout
        Drop probability after the second convolution of a residual block (thesis: 0.2).
    points
        How many of `edseg_engine.labels.POINTS` each voxel votes for; 1 is the thesis's network.
    """

    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 3, 2)
    concatenation_blocks: tuple[int, ...] = (0, 1, 1)
    dropout: float = 0.05
    points: int = N_POINTS

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StackNetConfig:
        values = {"points": 1, **values}  # weights written before there were votes for atoms
        shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**shape)


def _folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv3d:
    return fuse_conv_bn_eval(cast(nn.Conv3d, convolution), cast(nn.BatchNorm3d, norm))


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions, each with batch normalisation, added to their input (thesis, figure 6.3)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm3d(width)
        self.dropout = nn.Dropout3d(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.dropout(self.norm2(self.conv2(y)))
        return F.relu(x + y, inplace=True)

    def fuse(self) -> None:
        """Fold the normalisations into the convolutions, for good; only in evaluation mode."""
        self.conv1, self.conv2 = _folded(self.conv1, self.norm1), _folded(self.conv2, self.norm2)
        self.norm1 = self.norm2 = nn.Identity()


def _residual_blocks(n: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(n)))


def _pad_to(x: Tensor, shape: torch.Size) -> Tensor:
    """Zero-pad or crop the far end of the three spatial axes to `shape` (adaptive zero padding, thesis 5.1)."""
    missing = [shape[axis] - x.shape[axis] for axis in (-1, -2, -3)]
    return F.pad(x, [p for m in missing for p in (0, m)]) if any(missing) else x


class StackNet(nn.Module):
    """Maps density ``(batch, 1, nx, ny, nz)`` to class scores and offsets.

    Returns
    -------
    S : Tensor, shape (batch, 18, nx, ny, nz)
        Unnormalised class scores; softmax over axis 1 gives S(X).
    I : Tensor, shape (batch, 3 * points, nx, ny, nz)
        Offsets along x, y, z to the centroid of the voxel's residue, I(X), then to its other points, B(X), in the order
        of `edseg_engine.labels.POINTS` and units of `OFFSET_SCALE` Å.
    """

    def __init__(self, config: StackNetConfig) -> None:
        super().__init__()
        self.config = config
        w, drop, levels = config.widths, config.dropout, range(len(config.widths))
        self.stem = nn.Sequential(
            nn.Conv3d(1, w[0], 3, padding=1, bias=False), nn.BatchNorm3d(w[0]), nn.ReLU(inplace=True)
        )
        self.down_blocks = nn.ModuleList(_residual_blocks(config.blocks[i], w[i], drop) for i in levels)
        self.skip_blocks = nn.ModuleList(_residual_blocks(config.blocks[i], w[i], drop) for i in levels)
        self.up_blocks = nn.ModuleList(_residual_blocks(config.blocks[i], w[i], drop) for i in levels[:-1])
        self.concatenation_blocks = nn.ModuleList(
            _residual_blocks(config.concatenation_blocks[i], w[i], drop) for i in levels
        )
        # Stride and dilation of two (thesis, 6.1): each output voxel still reaches two voxels to either side.
        self.down = nn.ModuleList(
            nn.Conv3d(w[i], w[i + 1], 3, stride=2, dilation=2, padding=2, bias=False) for i in levels[:-1]
        )
        self.up = nn.ModuleList(nn.ConvTranspose3d(w[i + 1], w[i], 2, stride=2, bias=False) for i in levels[:-1])
        self.class_heads = nn.ModuleList(nn.Conv3d(w[i], N_CLASSES, 1, bias=i == 0) for i in levels)
        self.offset_head = nn.Conv3d(w[0], 3, 1)
        # Chain direction is not a linear function of the features that give classes and centroids.
        self.atom_head = nn.Sequential()
        if config.points > 1:
            self.atom_head = nn.Sequential(
                nn.Conv3d(w[0], _ATOM_FEATURES, 1),
                nn.ReLU(inplace=True),
                nn.Conv3d(_ATOM_FEATURES, 3 * (config.points - 1), 1),
            )

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> StackNet:
        """Return a copy that is faster and cannot be trained: normalisations folded in, channels last.

        It takes and returns volumes of `dtype`, of which its weights are, too.
        """
        net = copy.deepcopy(self).eval()
        for module in net.modules():
            if isinstance(module, ResidualBlock):
                module.fuse()
        convolution, norm, relu = net.stem
        net.stem = nn.Sequential(_folded(convolution, norm), relu)
        return net.to(device, dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def freeze_statistics(self) -> None:
        """Let batch normalisations use, and keep, the statistics that they have, also while training."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        skips = []
        for level, block in enumerate(self.down_blocks):
            x = block(x)
            skips.append(self.skip_blocks[level](x))
            if level < len(self.down):
                x = F.relu(self.down[level](x), inplace=True)
        x = skips[-1]
        scores = self.class_heads[-1](self.concatenation_blocks[-1](x))
        for level in reversed(range(len(self.up))):
            skip = skips[level]
            x = self.up_blocks[level](F.relu(skip + _pad_to(self.up[level](x), skip.shape), inplace=True))
            own = self.class_heads[level](self.concatenation_blocks[level](x))
            resized = F.interpolate(scores, scale_factor=2, mode="trilinear", align_corners=False)
            scores = own + _pad_to(resized, own.shape)
        offsets = self.offset_head(x)
        return scores, torch.cat([offsets, self.atom_head(x)], 1) if self.config.points > 1 else offsets
