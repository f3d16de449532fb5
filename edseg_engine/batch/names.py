"""Names of the directories of a batch: one for each map, none outside of the output directory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from edseg_engine.errors import OptionError
from edseg_engine.io.names import shown

#: Files of the batch itself in its output directory.
JOURNAL, LOCK, PAGE = "batch.sqlite", "batch.lock", "report.html"
_LONGEST = 120
#: Names that Windows gives to devices.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return a name if it can be that of a directory directly in the output directory, on any system.

    Raises
    ------
    OptionError
        If it cannot.
    """
    strange = re.search(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]', name)
    if strange:
        raise OptionError(f"The name {shown(name)!r} cannot be that of a directory: it contains {strange[0]!r}.")
    if not name or name.startswith(".") or name.endswith((".", " ")) or _DEVICES.fullmatch(name):
        raise OptionError(f"The name {name!r} cannot be that of a directory of results.")
    if len(name.encode()) > _LONGEST:
        raise OptionError(f"The name {name[:20]!r}... is longer than {_LONGEST} bytes.")
    if name.casefold() in (JOURNAL, f"{JOURNAL}-journal", LOCK, PAGE):
        raise OptionError(f"The name {name!r} is that of a file of the batch itself.")
    return name


def choose_names(paths: Sequence[Path], taken: Collection[str]) -> list[str]:
    """Return a name for each of the paths, none of which is in `taken`, whatever the case of letters.

    It is the name of the file; with that of its folder where several files have the same, as in ``*/data.mtz``.
    """
    used = {name.casefold() for name in taken}
    often = Counter(_stem(path).casefold() for path in paths)
    names = []
    for path in paths:
        name = _stem(path)
        if often[name.casefold()] > 1 or name.casefold() in used:
            name = _cut(f"{_safe(path.absolute().parent.name)}-{name}")
        base, number = name, 1
        while name.casefold() in used:
            number += 1
            name = f"{base}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


def _stem(path: Path) -> str:
    """Return what ``edseg segment`` would name its results after, as a name that every system has."""
    name = _cut(_safe(path.name.lstrip(".").split(".")[0]) or "map")
    return f"map-{name}" if _DEVICES.fullmatch(name) or name.casefold() in ("batch", "report") else name


def _safe(text: str) -> str:
    return re.sub(r"[^\w+-]", "_", shown(text))


def _cut(name: str) -> str:
    """Return a name that leaves room for a number behind it."""
    return name.encode()[: _LONGEST - 10].decode(errors="ignore")
