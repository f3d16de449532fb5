"""Where the network runs and how much fits there."""

from __future__ import annotations

import torch

from edseg_engine.errors import DeviceError
from edseg_engine.options import DEVICES, check_choice

#: Edges of the largest blocks of voxels that are run at once.
_LARGEST_TILE = {"cpu": 128, "cuda": 160, "mps": 96}


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; ``"auto"`` takes a GPU where there is one.

    Raises
    ------
    OptionError
        If there is no device of this kind at all.
    DeviceError
        If this machine does not have it.
    """
    check_choice("device", name, DEVICES)
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise DeviceError(f"This machine has no device {name!r} that PyTorch can use; choose --device cpu or auto.")
    return torch.device(name)


def largest_tile(device: torch.device) -> int:
    """Return the longest edge in voxels of a block that is run at once."""
    return _LARGEST_TILE[device.type]


def runs_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself; a processor that has to emulate it is faster in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def expect_fixed_sizes(device: torch.device) -> None:
    """Let cuDNN try its algorithms once for each shape; pays where all inputs have the same."""
    torch.backends.cudnn.benchmark = device.type == "cuda"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch raised `error` because memory ran out (the CPU allocator has no class of its own for it)."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory(device: torch.device) -> DeviceError:
    """Return the error for a device whose memory is full."""
    return DeviceError(f"The device {device.type} is out of memory; close other programs or choose another --device.")
