"""The resolution of each map that the user gave or a file said, remembered until the map is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymol_edseg import checked

#: What a map is known again by under another name.
Fingerprint = tuple[str, ...]


@dataclass
class Resolutions:
    """Resolutions (d_min in Å) by the names of map objects, each with the fingerprint of its map."""

    known: dict[str, tuple[float, Fingerprint]] = field(default_factory=dict)

    def remember(self, cmd: Any, name: str, d_min: float) -> None:
        """Remember the resolution of a map object."""
        self.known[name] = d_min, _fingerprint(cmd, name)

    def find(self, cmd: Any, name: str) -> float | None:
        """Return the resolution of a map object, also if it was renamed; None if it is not known."""
        maps = set(cmd.get_names_of_type("object:map"))
        if name not in maps:
            return None
        mark = _fingerprint(cmd, name)
        if name in self.known:
            d_min, known = self.known[name]
            return d_min if known == mark else None
        renamed = (d_min for old, (d_min, known) in self.known.items() if old not in maps and known == mark)
        return next(renamed, None)

    def to_json(self) -> dict[str, Any]:
        return {name: [d_min, list(mark)] for name, (d_min, mark) in self.known.items()}

    def update(self, stored: Any) -> None:
        """Take in what `to_json` made; what is damaged is left out."""
        for name, value in stored.items() if isinstance(stored, Mapping) else ():
            with contextlib.suppress(*checked.DAMAGE):
                self.known[name] = checked.number(value[0], 0.1, 100), tuple(map(str, value[1]))


def _fingerprint(cmd: Any, name: str) -> Fingerprint:
    """Return the cell, the space group and the least, greatest, mean and rms value: they stay where a map is moved."""
    *cell, group = cmd.get_symmetry(name) or [""]
    values = cmd.get_volume_histogram(name, 1)[:4]
    return (*(f"{x:.5g}" for x in (*cell, *values)), str(group))
