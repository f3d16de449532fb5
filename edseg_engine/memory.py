"""How much main memory is free, and the refusal of what does not fit."""

from __future__ import annotations

import os

from edseg_engine.errors import DeviceError


def available_memory() -> int | None:
    """Return bytes of main memory that are free for a new program, or None where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            free = {line.split(":")[0]: int(line.split()[1]) for line in file}
        return free["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def require_memory(needed: float, what: str, advice: str = "close other programs") -> None:
    """Check that `needed` bytes are free; `what` needs them, `advice` says what the user can do.

    Raises
    ------
    DeviceError
        If they are not.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise DeviceError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB are free; {advice}."
        )
