"""Checkpoints small enough to be carried anywhere: 16 MB for a network of 5.2 million parameters.

The averaged weights are kept in half precision, as they are shipped. The trained weights never stray far from them, so
their difference is kept in eight bits. The optimizers' moments are left out: a resumed run warms up again while they
fill.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of weights and batch statistics, with a short memory while training is young."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone().float() for k, v in net.state_dict().items() if v.is_floating_point()}

    def update(self, net: nn.Module) -> None:
        """Take in the weights of `net` after one more step."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (50 + self.steps))
        for key, value in net.state_dict().items():
            if key in self.state:
                self.state[key].lerp_(value.detach().float(), 1 - keep)


def _packed(value: Tensor, average: Tensor) -> dict[str, Tensor]:
    if value.ndim < 2:
        return {"value": value, "average": average}
    half = average.half()
    difference = value.float() - half.float()
    step = difference.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
    steps = torch.round(difference / step.view(-1, *[1] * (value.ndim - 1))).to(torch.int8)
    return {"average": half, "steps": steps, "step": step}


def _unpacked(packed: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    average = packed["average"].float()
    if "value" in packed:
        return packed["value"], average
    return average + packed["steps"].float() * packed["step"].view(-1, *[1] * (average.ndim - 1)), average


def save_checkpoint(path: Path, net: nn.Module, average: MovingAverage, values: dict[str, Any]) -> None:
    """Write weights, average and `values`, as `write_whole`."""
    state = {k: v.detach().cpu() for k, v in net.state_dict().items()}
    weights = {k: _packed(state[k], v.cpu()) for k, v in average.state.items()}
    write_whole(path, {**values, "steps": average.steps, "weights": weights})


def write_whole(path: Path, values: dict[str, Any]) -> None:
    """Write a checkpoint; a kill at any moment leaves a whole older or newer file."""
    temporary = path.with_suffix(".tmp")
    torch.save(values, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what was saved, in main memory."""
    saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return saved


def restore(saved: dict[str, Any], net: nn.Module, average: MovingAverage) -> None:
    """Put the weights and the average of a checkpoint into `net` and `average`."""
    weights = {k: _unpacked(packed) for k, packed in saved["weights"].items()}
    # Counters of batches, which no one uses, are all that is missing.
    net.load_state_dict({k: value for k, (value, _) in weights.items()}, strict=False)
    average.state = {k: mean.to(average.state[k].device) for k, (_, mean) in weights.items()}
    average.steps = saved["steps"]
