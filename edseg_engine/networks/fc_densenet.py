"""3D FC-DenseNet: class scores for every voxel, without instances (thesis, section 5.1, after Jégou et al. 2017).

Dense blocks lie along a way down and a way up, with a bottleneck between them; the way up also reads what the way down
left at its resolution. Where the thesis is silent or contradicts itself, this is what was chosen:

* A dense layer is a convolution, ReLU, dropout and batch normalisation, in the order in which 5.1 introduces them.
* As in FC-DenseNet (arXiv:1611.09326), the stem has 48 channels; blocks of the way down hand on their input as well,
  those of the bottleneck and the way up only what their layers add, but for the last.
* A convolution over a concatenation is the sum of convolutions over its parts, and the layers of a block that read the
  same part read it in one convolution: the same function as one convolution for each layer, and faster.
* The fifth transition of the larger network meets an odd map, too: a window of 48 voxels is 3 voxels wide there.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from edseg_engine.errors import OptionError
from edseg_engine.labels import N_CLASSES
from edseg_engine.networks.bounds import check_count, check_number
from edseg_engine.networks.network import Network, pad_to

_MOST_LEVELS, _MOST_LAYERS, _MOST_CHANNELS = 8, 64, 256
#: Edge in voxels of maps that are trained on in single precision: in bfloat16 and channels last, the gradient of
#: kernels over maps of two voxels is unset memory (PyTorch 2.13 on CPUs that compute in bfloat16).
_SMALLEST_MAP = 2


@dataclass(frozen=True)
class FcDenseNetConfig:
    """Shape of the network; stored with the weights. As it stands it is 3D FC-DenseNet57 (thesis, table 5.1).

    Attributes
    ----------
    levels
        Blocks of the way down and of the way up; FC-DenseNet49 has four.
    layers
        Dense layers of each of them.
    bottleneck
        Dense layers of the bottleneck.
    growth
        Channels that each dense layer adds.
    stem
        Channels of the first convolution.
    dropout
        Drop probability in dense layers while training.
    concatenations
        Whether a dense layer reads all that its block made before it, and the block hands on all of it; without them it
        reads the layer before it, and the block hands on the last (thesis 5.3.1, table 5.2). The way up reads the way
        down in any case.
    padding
        Whether maps are zero-padded to the size of those that they meet (thesis 5.3.1).
    """

    architecture: ClassVar[str] = "fc-densenet"

    levels: int = 5
    layers: int = 4
    bottleneck: int = 15
    growth: int = 12
    stem: int = 48
    dropout: float = 0.2
    concatenations: bool = True
    padding: bool = True

    @property
    def points(self) -> int:
        """The network does not vote for any point of a residue."""
        return 0

    @property
    def depth(self) -> int:
        """Convolutional layers as the thesis counts them: stem, dense layers and the last, without transitions."""
        return 1 + 2 * self.levels * self.layers + self.bottleneck + 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FcDenseNetConfig:
        return cls(**values)

    def check(self) -> None:
        """Raise ValueError if no network can be like this."""
        check_count(self.levels, "levels", 1, _MOST_LEVELS)
        for key in ("layers", "bottleneck"):
            check_count(getattr(self, key), key, 1, _MOST_LAYERS)
        for key in ("growth", "stem"):
            check_count(getattr(self, key), key, 1, _MOST_CHANNELS)
        check_number(self.dropout, "dropout", 0.0, 0.99)
        for key in ("concatenations", "padding"):
            if not isinstance(getattr(self, key), bool):
                raise ValueError(f"{key} is {getattr(self, key)!r}")


class DenseBlock(nn.Module):
    """Dense layers, each of which reads the block's input and what the layers before it made (thesis, figure 5.2).

    Parameters
    ----------
    width
        Channels of the input.
    n_layers
        Dense layers.
    with_input
        Whether the input is handed on beside what the layers made, where the layers are concatenated.
    """

    def __init__(self, width: int, n_layers: int, config: FcDenseNetConfig, with_input: bool) -> None:
        super().__init__()
        self.growth, self.concatenations = config.growth, config.concatenations
        self.with_input = with_input and config.concatenations
        # One convolution for each part of the concatenation: the input, then the output of each layer but the last.
        self.convolutions = nn.ModuleList()
        for part in range(n_layers):
            readers = n_layers - part if config.concatenations else 1
            read = config.growth if part else width
            has_bias = part == 0 or not config.concatenations
            self.convolutions.append(nn.Conv3d(read, config.growth * readers, 3, padding=1, bias=has_bias))
        self.norms = nn.ModuleList(nn.BatchNorm3d(config.growth) for _ in range(n_layers))
        self.dropout = nn.Dropout(config.dropout)
        if config.concatenations:
            self._start_evenly(width, n_layers)
        added = config.growth * (n_layers if config.concatenations else 1)
        self.width = width + added if self.with_input else added

    @torch.no_grad()
    def _start_evenly(self, width: int, n_layers: int) -> None:
        """Initialise the kernels that a layer reads its parts with as one kernel over all of them (He uniform)."""
        for layer in range(n_layers):
            bound = math.sqrt(6 / (27 * (width + layer * self.growth)))
            for part in range(layer + 1):
                kernel = cast(Tensor, self.convolutions[part].weight)
                kernel[(layer - part) * self.growth :][: self.growth].uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and min(x.shape[2:]) <= _SMALLEST_MAP:
            with torch.autocast(x.device.type, enabled=False):
                return self._forward(x.float())
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        made: list[Tensor] = []
        waiting = self.convolutions[0](x)  # what the layers to come have read so far, in their order
        for layer, norm in enumerate(self.norms):
            own, waiting = waiting[:, : self.growth], waiting[:, self.growth :]
            made.append(norm(self.dropout(torch.relu(own))))
            if layer + 1 < len(self.norms):
                read = self.convolutions[layer + 1](made[-1])
                waiting = waiting + read if self.concatenations else read
        if not self.concatenations:
            return made[-1]
        return torch.cat([x, *made] if self.with_input else made, 1)


class TransitionDown(nn.Sequential):
    """Batch normalisation, ReLU, 1x1x1 convolution and max pooling to half the size (thesis, figure 5.2)."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.BatchNorm3d(width), nn.ReLU(inplace=True), nn.Conv3d(width, width, 1, bias=False), nn.MaxPool3d(2)
        )


class FcDenseNet(Network):
    """3D FC-DenseNet, see `edseg_engine.networks.network.Network` for what it maps to what; there are no offsets.

    Its lowest levels are as small as the windows of its training, where most of their kernels reach for nothing but
    padding: larger windows must be cut into such (thesis 5.3.2).

    Raises
    ------
    OptionError
        By the call, if a window does not fit a network without padding, or a batch that is trained on leaves the
        bottleneck a single voxel to normalise by.
    """

    config: FcDenseNetConfig
    fixed_window = True

    def __init__(self, config: FcDenseNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv3d(1, config.stem, 3, padding=1)
        width, skips = config.stem, []
        self.down_blocks, self.transitions_down = nn.ModuleList(), nn.ModuleList()
        for _ in range(config.levels):
            block = DenseBlock(width, config.layers, config, with_input=True)
            width = block.width
            skips.append(width)
            self.down_blocks.append(block)
            self.transitions_down.append(TransitionDown(width))
        self.bottleneck = DenseBlock(width, config.bottleneck, config, with_input=False)
        width = self.bottleneck.width
        self.transitions_up, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(config.levels)):
            self.transitions_up.append(nn.ConvTranspose3d(width, width, 3, stride=2, padding=1, output_padding=1))
            block = DenseBlock(width + skips[level], config.layers, config, with_input=level == 0)
            width = block.width
            self.up_blocks.append(block)
        self.class_head = nn.Conv3d(width, N_CLASSES, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape, granule = x.shape, 2**self.config.levels
        if not self.config.padding and any(n % granule for n in shape[2:]):
            edges = " x ".join(map(str, shape[2:]))
            raise OptionError(
                f"Without zero padding, {self.config.levels} transitions fit windows whose edges are multiples of "
                f"{granule} voxels, not {edges}; choose a network with it."
            )
        # A smaller window would vanish on the way down.
        x = pad_to(x, torch.Size(max(n, granule) for n in shape))
        x = self.stem(x)
        skips: list[Tensor] = []
        for block, transition in zip(self.down_blocks, self.transitions_down, strict=True):
            skips.append(block(x))
            x = transition(skips[-1])
        if math.prod((len(x), *x.shape[2:])) == 1 and self.bottleneck.norms[0].training:
            raise OptionError("The bottleneck has one voxel of such a window: train on batches of two or more.")
        x = self.bottleneck(x)
        for block, transition in zip(self.up_blocks, self.transitions_up, strict=True):
            skip = skips.pop()
            x = block(torch.cat([pad_to(transition(x), skip.shape), skip], 1))
        scores = pad_to(self.class_head(x), shape)
        return scores, scores.new_zeros(len(x), 0, *shape[2:])
