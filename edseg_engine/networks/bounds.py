"""Checks of numbers that a file states, which may be anything."""

from __future__ import annotations

import math
from typing import Any


def check_number(value: Any, key: str, low: float, high: float) -> None:
    """Raise ValueError unless `value`, called `key`, is a number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key} is {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{key} is {value!r}, not {low:g} to {high:g}")


def check_count(value: Any, key: str, low: int, high: int) -> None:
    """Raise ValueError unless `value`, called `key`, is a whole number from `low` to `high`."""
    check_number(value, key, low, high)
    if not isinstance(value, int):
        raise ValueError(f"{key} is {value!r}")
