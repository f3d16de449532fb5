"""Which part of a training step the losses take: ``python -m tools.loss_shares --structures STRUCTURES``.

Networks and losses are timed apart, on the same windows: a network forward and, from any gradient, backward; a loss
from the answers of the network to their gradient. The terms of the thesis's loss include neither the choice of voxels,
which they share, nor each other.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from edseg_engine.devices import runs_bfloat16
from edseg_engine.networks.architectures import build
from edseg_engine.networks.fc_densenet import FcDenseNetConfig
from edseg_engine.networks.network import OFFSET_SCALE, NetworkConfig
from edseg_engine.networks.stacknet import StackNetConfig
from edseg_engine.resolution import ResolutionRange, range_by_name
from edseg_engine.training.loss import compare
from edseg_engine.training.losses import LOSSES, make_loss
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.thesis_loss import ThesisLoss, lovasz_softmax, squared_error
from edseg_engine.training.windows import DataOptions, WindowStream
from tools.command import run_tool
from tools.throughput import training_batches

_ROUNDS = 3
_CPU = torch.device("cpu")
NETWORKS: Mapping[str, NetworkConfig] = {
    "MT-StackNet, votes for centroids": StackNetConfig(points=1),
    "FC-DenseNet57": FcDenseNetConfig(),
}


def measure_shares(
    config: NetworkConfig, batch: dict[str, Tensor], resolution_range: ResolutionRange
) -> Iterator[tuple[str, float, float]]:
    """Yield each part of a step on one batch, its seconds, and its share of a step of the network and this part."""
    torch.manual_seed(1)
    net = build(config).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    density = batch["density"].contiguous(memory_format=torch.channels_last_3d)

    def answers() -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=runs_bfloat16(_CPU)):
            scores, offsets = net(density)
        return scores, offsets

    scores, offsets = (a.detach().requires_grad_() for a in answers())

    def anything() -> Tensor:
        return torch.stack([(a * b.detach()).sum() for a, b in zip(answers(), (scores, offsets), strict=True)]).sum()

    network = _best(anything)
    yield "network", network, 1.0
    for part, seconds in _losses(scores, offsets, batch, resolution_range, config.points):
        yield part, seconds, seconds / (network + seconds)


def _losses(
    scores: Tensor, offsets: Tensor, batch: dict[str, Tensor], resolution_range: ResolutionRange, points: int
) -> Iterator[tuple[str, float]]:
    options = TrainOptions(0, batch=len(scores))
    product, thesis = (make_loss(replace(options, loss=name), resolution_range, points) for name in LOSSES)
    yield "cross-entropy", _best(lambda: product(scores, offsets, batch).total)
    yield "thesis", _best(lambda: thesis(scores, offsets, batch).total)
    assert isinstance(thesis, ThesisLoss)
    seen = compare(scores.detach(), offsets.detach(), batch, thesis.weights, thesis.spacing)
    s = seen.scores.requires_grad_()
    yield "... Lovász-softmax", _best(lambda: lovasz_softmax(s.softmax(1), seen.classes, seen.weights))
    if points:
        vectors, truth = (OFFSET_SCALE * seen.offsets[:, 0]).requires_grad_(), OFFSET_SCALE * seen.truth[:, 0]
        yield "... squared error", _best(lambda: squared_error(vectors, truth, seen.weights[seen.inside]))
        yield "... Dice", _best(lambda: thesis.dice_loss(seen, vectors, batch["points"]))


def _best(loss: Callable[[], Tensor]) -> float:
    """Return the processor seconds of the fastest of several ways from nothing to the gradient of `loss`."""
    seconds = []
    for _ in range(_ROUNDS):
        start = time.process_time()  # not the clock on the wall: other processes may use the same cores
        torch.autograd.backward(loss())
        seconds.append(time.process_time() - start)
    return min(seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.loss_shares", description="Time networks and losses apart, on the CPU."
    )
    parser.add_argument("--structures", type=Path, required=True, help="folder of structures, as for edseg train")
    parser.add_argument("--range", default="medium", help="resolution range of the windows (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="windows of the batch (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Measure and print a table."""
    torch.set_num_threads(args.threads)
    resolution_range = range_by_name(args.range)
    stream = WindowStream(DataOptions(args.structures), resolution_range, (1,))
    (batch,) = training_batches(iter(stream), args.batch, _CPU, 1)
    print("| network | part | processor seconds per window | share of a step |")
    print("| --- | --- | ---: | ---: |")
    for name, config in NETWORKS.items():
        for part, seconds, share in measure_shares(config, batch, resolution_range):
            print(f"| {name} | {part} | {seconds / args.batch:.3f} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
