"""Muon: momentum whose update is orthogonalised, for the kernels of the residual blocks.

Every direction of a kernel's input gets a step of the same length, where Adam's steps are ruled by the few directions
with large gradients (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from edseg_engine.devices import runs_bfloat16

#: Odd quintic polynomial whose iteration drives singular values towards one (Jordan et al. 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
#: Root mean square of Adam's updates at a learning rate of one; with it both optimizers share a learning rate
#: (Liu et al. 2025, arXiv:2502.16982).
_ADAM_RMS = 0.2
_LARGEST_GRADIENT = 2.0


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return roughly ``U V^T`` of the singular value decomposition of `matrices` (..., rows, columns).

    It is computed in bfloat16 where the device does so itself.

    The singular values come out between about 0.7 and 1.2, which trains as well as one and costs only products.
    """
    x = matrices.to(torch.bfloat16 if runs_bfloat16(matrices.device) else torch.float32)
    is_wide = x.shape[-2] <= x.shape[-1]
    wide = x if is_wide else x.mT
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if is_wide else wide.mT


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay; kernels of one shape are updated together.

    Parameters
    ----------
    params
        Kernels; each is taken as a matrix of output channels by everything else.
    lr
        Learning rate on Adam's scale.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for p in params:
            by_shape.setdefault(p.shape, []).append(p)
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([{"params": same} for same in by_shape.values()], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the kernels."""
        for group in self.param_groups:
            kernels: list[nn.Parameter] = group["params"]
            if any(p.grad is None for p in kernels):
                continue
            gradients = torch.stack([cast(Tensor, p.grad).flatten(1) for p in kernels])
            state = self.state[kernels[0]]
            if not state:
                state["momentum"] = torch.zeros_like(gradients)
            momentum = state["momentum"].lerp_(gradients, 1 - group["momentum"])
            directions = orthogonalized(gradients.lerp(momentum, group["momentum"])).to(gradients.dtype)
            rate = group["lr"] * _ADAM_RMS * max(gradients.shape[1:]) ** 0.5
            for p, direction in zip(kernels, directions, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(direction.view(p.shape), alpha=-rate)


def optimizers_of(net: nn.Module, lr: float, weight_decay: float, muon: bool = True) -> list[torch.optim.Optimizer]:
    """Return Muon for the kernels between hidden channels, and AdamW for stem, heads and normalisations.

    Without `muon`, AdamW is for everything."""
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for p in net.parameters():
        is_hidden = muon and p.ndim == 5 and min(p.shape[:2]) > 1 and p[0, 0].numel() > 1
        (hidden if is_hidden else others).append(p)
    adamw = torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98))
    return [Muon(hidden, lr=lr, weight_decay=weight_decay), adamw] if muon else [adamw]


def descend(net: nn.Module, optimizers: Iterable[torch.optim.Optimizer], loss: Tensor) -> None:
    """Take one step of all `optimizers` down the gradient of `loss`, whose norm is limited."""
    net.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), _LARGEST_GRADIENT)
    for optimizer in optimizers:
        optimizer.step()
