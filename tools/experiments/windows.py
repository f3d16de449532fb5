"""How networks do on windows of structures that they were not trained on: loss, IoU and gradients (thesis 5.3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from edseg_engine.evaluation.metrics import count_voxels, total_voxels
from edseg_engine.labels import N_LABELS
from edseg_engine.networks.fc_densenet import DenseBlock, FcDenseNet
from edseg_engine.networks.weights import load_weights
from edseg_engine.resolution import ResolutionRange
from edseg_engine.training.loss import compare
from edseg_engine.training.losses import make_loss
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.windows import DataOptions, WindowStream


@lru_cache(maxsize=1)
def validation_batches(
    data: DataOptions, resolution_range: ResolutionRange, options: TrainOptions, n: int
) -> list[dict[str, Tensor]]:
    """Return `n` windows of a data set, in batches; change none of them, the next caller gets the same."""
    stream = WindowStream(data, resolution_range, (options.seed, n))
    batches: Iterator[dict[str, Tensor]] = iter(DataLoader(stream, batch_size=options.batch))
    return [next(batches) for _ in range(max(1, n // options.batch))]


def window_figures(weights: Path, batches: list[dict[str, Tensor]], options: TrainOptions) -> dict[str, float]:
    """Return the mean loss and the semantic IoU over all windows, by voxels with density."""
    loaded = load_weights(weights)
    loss = make_loss(options, loaded.card.range, loaded.net.config.points)
    losses, counts = [], []
    torch.manual_seed(options.seed)  # some losses draw voxels
    with torch.inference_mode():
        for batch in batches:
            scores, offsets = loaded.net(batch["density"])
            losses.append(float(loss(scores, offsets, batch).total))
            seen = compare(scores, offsets, batch, loss.weights, loss.spacing)
            counts.append(count_voxels(seen.scores.softmax(1)[:, :N_LABELS].numpy(), seen.classes.numpy()))
    return {"loss": sum(losses) / len(losses), "iou": total_voxels(counts).mean_iou()}


def gradient_norms(weights: Path, batches: list[dict[str, Tensor]], options: TrainOptions) -> dict[str, float]:
    """Return the L2 norm of the loss's gradient for the kernels of each layer of an FC-DenseNet, from input to output.

    It is the mean over batches, relative to the largest of all layers (thesis, figure 5.7). Layers are the first
    convolution, the dense layers and the last convolution.
    """
    loaded = load_weights(weights)
    net = loaded.net.train()
    assert isinstance(net, FcDenseNet)
    loss = make_loss(options, loaded.card.range, net.config.points)
    torch.manual_seed(options.seed)
    sums: dict[str, float] = {}
    for batch in batches:
        net.zero_grad()
        torch.autograd.backward(loss(*net(batch["density"]), batch).total)
        for name, norm in _norms(net):
            sums[name] = sums.get(name, 0.0) + norm
    largest = max(sums.values())
    return {name: value / largest for name, value in sums.items()}


def _norms(net: FcDenseNet) -> Iterator[tuple[str, float]]:
    ways: dict[str, Iterable[nn.Module]] = {
        "down": net.down_blocks,
        "bottleneck": [net.bottleneck],
        "up": net.up_blocks,
    }
    yield "stem", _squares(net.stem.weight.grad).sum().sqrt().item()
    for way, blocks in ways.items():
        for number, block in enumerate(blocks, 1):
            assert isinstance(block, DenseBlock)
            for layer, norm in enumerate(_layer_norms(block), 1):
                yield f"{way} {number}.{layer}", norm
    yield "head", _squares(net.class_head.weight.grad).sum().sqrt().item()


def _layer_norms(block: DenseBlock) -> list[float]:
    """Return the norms of the layers of a block; a convolution holds the kernels of all layers that read one part."""
    squares = torch.zeros(len(block.norms))
    for part, convolution in enumerate(block.convolutions):
        of_readers = _squares(convolution.weight.grad).view(-1, block.growth).sum(1)
        squares[part : part + len(of_readers)] += of_readers
    norms: list[float] = squares.sqrt().tolist()
    return norms


def _squares(gradient: object) -> Tensor:
    """Return the sum of squares of each output channel's gradient."""
    assert isinstance(gradient, Tensor)
    return gradient.square().flatten(1).sum(1)
