"""MT-StackNet: one forward pass from density to class scores S(X) and offset vectors I(X) (thesis, section 6.1).

The stack has three levels. Down Blocks go to the next lower level by a strided convolution, Skip Blocks process what
they leave behind, Up Blocks bring it up again by a transpose convolution, Concatenation Blocks collect every level
for the classes. There is no bottleneck. Where the thesis is silent or slow, this is what was chosen:

* Width and number of residual blocks are free for each level: a layer at full resolution costs 64 times as much per
  channel pair as one at the lowest level and sees the least of a residue, so few narrow blocks stand there.
* A Concatenation Block works at its own level's resolution, and the 1x1x1 class convolution is split by level. A 1x1x1
  convolution commutes with trilinear interpolation, so summing the levels' scores after resizing equals the thesis's
  convolution over the concatenated, resized features, at a fraction of the cost.
* The background score is one of the 18 classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edseg_engine.labels import N_CLASSES, N_POINTS
from edseg_engine.networks.bounds import check_count, check_number
from edseg_engine.networks.network import Network, pad_to

_ATOM_FEATURES = 64
#: Most levels of a network, channels of a level and residual blocks of a part of it.
_MOST_LEVELS, _MOST_CHANNELS, _MOST_BLOCKS = 6, 1024, 32


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
    skip_blocks
        Whether there are Skip Blocks; without them, the way up reads what the way down left (thesis 6.4.2, table 6.1).
    """

    architecture: ClassVar[str] = "stacknet"

    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 3, 2)
    concatenation_blocks: tuple[int, ...] = (0, 1, 1)
    dropout: float = 0.05
    points: int = N_POINTS
    skip_blocks: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StackNetConfig:
        values = {"points": 1, **values}  # weights written before there were votes for atoms
        shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**shape)

    def check(self) -> None:
        """Raise ValueError if no network can be like this."""
        limits = (("widths", 1, _MOST_CHANNELS), ("blocks", 0, _MOST_BLOCKS), ("concatenation_blocks", 0, _MOST_BLOCKS))
        for key, low, high in limits:
            numbers = getattr(self, key)
            if not isinstance(numbers, tuple) or len(numbers) != len(self.widths) or len(numbers) > _MOST_LEVELS:
                raise ValueError(f"the {key} of its network are {numbers!r}")
            for number in numbers:
                check_count(number, key, low, high)
        check_number(self.dropout, "dropout", 0.0, 0.99)
        check_count(self.points, "points", 1, N_POINTS)
        if not isinstance(self.skip_blocks, bool):
            raise ValueError(f"skip_blocks is {self.skip_blocks!r}")


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


class StackNet(Network):
    """MT-StackNet, see `edseg_engine.networks.network.Network` for what it maps to what."""

    config: StackNetConfig

    def __init__(self, config: StackNetConfig) -> None:
        super().__init__()
        self.config = config
        w, drop, levels = config.widths, config.dropout, range(len(config.widths))
        self.stem = nn.Sequential(
            nn.Conv3d(1, w[0], 3, padding=1, bias=False), nn.BatchNorm3d(w[0]), nn.ReLU(inplace=True)
        )
        self.down_blocks = nn.ModuleList(_residual_blocks(config.blocks[i], w[i], drop) for i in levels)
        self.skip_blocks = nn.ModuleList(
            _residual_blocks(config.blocks[i] * config.skip_blocks, w[i], drop) for i in levels
        )
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

    def fuse(self) -> None:
        """Fold the normalisations into the convolutions, for good; only in evaluation mode."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.fuse()
        convolution, norm, relu = self.stem
        self.stem = nn.Sequential(_folded(convolution, norm), relu)

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
            x = self.up_blocks[level](F.relu(skip + pad_to(self.up[level](x), skip.shape), inplace=True))
            own = self.class_heads[level](self.concatenation_blocks[level](x))
            resized = F.interpolate(scores, scale_factor=2, mode="trilinear", align_corners=False)
            scores = own + pad_to(resized, own.shape)
        offsets = self.offset_head(x)
        return scores, torch.cat([offsets, self.atom_head(x)], 1) if self.config.points > 1 else offsets
