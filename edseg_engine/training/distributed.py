"""One training run on several processes: each has its own stream of windows, and they share gradients.

Processes are started by ``torchrun --nproc-per-node N -m edseg_engine train ...``, which gives each its rank.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those of the run.

    Attributes
    ----------
    rank, size
        Number of this process and of all; 0 and 1 for a run of its own.
    device
        Where this process trains.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def shared(self, net: nn.Module) -> nn.Module:
        """Return `net` such that its gradients, if it has any, are averaged over the processes."""
        if self.size == 1 or not any(p.requires_grad for p in net.parameters()):
            return net
        return DistributedDataParallel(net, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def agree(self, decision: bool) -> bool:
        """Return what the first process decided; each must call it."""
        if self.size == 1:
            return decision
        word = torch.tensor([float(decision)], device=self.device)
        dist.broadcast(word, 0)
        return bool(word.item())


def join_ranks(device: str) -> Ranks:
    """Join the run that this process was started for; without torchrun it is a run of its own."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks(0, 1, torch.device(device))
    local = torch.device(device)
    if device == "cuda":
        local = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return Ranks(dist.get_rank(), size, local)


def leave_ranks() -> None:
    """Leave the run, if this process shared one, once all processes are done."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
