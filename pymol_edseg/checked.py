"""Values from files, checked: each function returns the value in its type, or raises ValueError."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

#: Names of PyMOL's objects, as `cmd.get_legal_name` leaves them.
_NAME = re.compile(r"(?!(?:all|none|same)$)[A-Za-z0-9_.+^-]{1,200}", re.IGNORECASE)
#: What goes wrong in reading a value of any JSON type as another.
DAMAGE = (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError)


def document(path: Path, schema: str) -> Any:
    """Return the content of a JSON file of a schema; raises OSError, or an error of `DAMAGE`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if data["schema"] != schema:
        raise ValueError(f"it is not an {schema} file")
    return data


def number(value: Any, low: float = -1e9, high: float = 1e9) -> float:
    """Return a finite number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{value!r} is not a number from {low:g} to {high:g}")
    return float(value)


def whole(value: Any, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`."""
    if int(number(value, low, high)) != value:
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def numbers(values: Any, count: int) -> tuple[float, ...]:
    """Return `count` finite numbers."""
    if not isinstance(values, (list, tuple)) or len(values) != count:
        raise ValueError(f"{values!r} are not {count} numbers")
    return tuple(map(number, values))


def text(value: Any) -> str:
    """Return a text as one line that a terminal can show; only space and line breaks are changed."""
    if not isinstance(value, str) or not (line := " ".join(value.split())).isprintable():
        raise ValueError(f"{value!r} is not a line of text")
    return line


def object_name(value: Any) -> str:
    """Return a name that an object of PyMOL can have."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not an object name")
    return value


def optional(read: Callable[[Any], T], value: Any) -> T | None:
    """Return None for None, else what `read` makes of the value."""
    return None if value is None else read(value)


def kept(read: Callable[[], T], default: T, what: str, lost: list[str]) -> T:
    """Return what `read` returns; if it finds damage, add `what` to `lost` and return the default."""
    try:
        return read()
    except DAMAGE:
        lost.append(what)
        return default
