"""The networks of super-resolution (thesis, figure 7.1): a generator, a discriminator, and a reader behind the first.

Densities are normalised, on the voxels of `edseg_engine.resolution`, shape (batch, 1, nx, ny, nz).
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edseg_engine.inference.normalise import CLIP
from edseg_engine.networks.network import Network, pad_to
from edseg_engine.networks.stacknet import ResidualBlock

#: Channels of the levels of the generator, and of the layers of the discriminator.
WIDTHS, _DISCRIMINATOR = (16, 32, 64), (16, 32, 64)
#: Voxels along a window of the structural similarity, and its constants relative to the range of values (Wang 2004).
_WINDOW, _K1, _K2 = 7, 0.01, 0.03


class Generator(nn.Module):
    """A shallow residual U-Net that corrects a density: before training it returns its input."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        w = widths
        self.stem = nn.Conv3d(1, w[0], 3, padding=1)
        self.encoders = nn.ModuleList(ResidualBlock(width, 0.0) for width in w)
        self.down = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(w))
        self.up = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairwise(w))
        self.decoders = nn.ModuleList(ResidualBlock(width, 0.0) for width in w[:-1])
        self.head = nn.Conv3d(w[0], 1, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, density: Tensor) -> Tensor:
        x, skips = self.stem(density), []
        for encoder, down in zip(self.encoders, [*self.down, None], strict=True):
            x = encoder(x)
            if down is not None:
                skips.append(x)
                x = F.relu(down(x))
        for level in reversed(range(len(self.up))):
            x = self.decoders[level](skips[level] + pad_to(self.up[level](x), skips[level].shape))
        return density + self.head(x)

    def fuse(self) -> None:
        """Fold normalisations into convolutions, for good; only in evaluation mode."""
        for block in (*self.encoders, *self.decoders):
            assert isinstance(block, ResidualBlock)
            block.fuse()


class Discriminator(nn.Sequential):
    """Scores patches of a density: one where it takes them for real, zero where for generated."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for a, b in pairwise((1, *_DISCRIMINATOR)):
            layers += [nn.Conv3d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(*layers, nn.Conv3d(_DISCRIMINATOR[-1], 1, 3, padding=1))


class Behind(Network):
    """A network that reads what a generator makes of a density; from outside, a network like any other."""

    def __init__(self, generator: Generator, net: Network) -> None:
        super().__init__()
        self.config = net.config
        self.generator, self.net = copy.deepcopy(generator), net

    def fuse(self) -> None:
        self.generator.fuse()
        self.net.fuse()

    def forward(self, density: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = self.net(self.generator(density))
        return scores, offsets


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean structural similarity of two densities in cubic windows (Wang et al. 2004, thesis reference 107).

    One for equal densities.
    """
    size = CLIP[1] - CLIP[0]
    c1, c2 = (_K1 * size) ** 2, (_K2 * size) ** 2
    mean_a, mean_b = _local(a), _local(b)
    variances = _local(a * a) - mean_a**2 + _local(b * b) - mean_b**2
    covariance = _local(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (similarity / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))).mean()


def _local(x: Tensor) -> Tensor:
    return F.avg_pool3d(x, _WINDOW, stride=1)


def frozen(net: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Return a copy of a network in its form for inference that lets gradients through, and has none itself."""
    return net.for_inference(device, dtype).requires_grad_(False)
