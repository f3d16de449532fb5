"""What is known of each map object besides its density, remembered until the map is gone: the resolution, that the user
gave or a file said, and the file of reflections that it was made of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pymol_edseg import checked

#: What a map is known again by under another name.
Fingerprint = tuple[str, ...]
_OPTIONS = ("--f", "--phi", "--resolution")


@dataclass(frozen=True)
class Reflections:
    """The file that a map was made of, as it was then, and the words of the command line that chose from it."""

    path: str
    words: tuple[str, ...]
    size: int
    changed: float

    @classmethod
    def of(cls, path: Path, words: tuple[str, ...]) -> Reflections:
        """Return what to remember of a file; raises OSError."""
        return cls(str(path), words, path.stat().st_size, path.stat().st_mtime)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Reflections:
        """Read a file's record; raises an error of `checked.DAMAGE`."""
        words = tuple(map(checked.text, values["words"]))
        if not set(words[::2]) <= set(_OPTIONS) or len(words) % 2:
            raise ValueError(f"{words!r} are not options")
        if not Path(checked.text(values["path"])).is_absolute():
            raise ValueError(f"{values['path']!r} is not the path of a file")
        size = checked.whole(values["size"], 0, 10**15)
        return cls(checked.text(values["path"]), words, size, checked.number(values["changed"], 0, 1e12))

    @property
    def unchanged(self) -> bool:
        """Whether the file is still what it was."""
        try:
            return Reflections.of(Path(self.path), self.words) == self
        except OSError:
            return False


@dataclass(frozen=True)
class Known:
    """What is known of a map: d_min (Å), its fingerprint, and where it comes from."""

    d_min: float
    mark: Fingerprint
    source: Reflections | None = None


@dataclass
class Resolutions:
    """What is known of maps, by the names of their objects."""

    known: dict[str, Known] = field(default_factory=dict)

    def remember(self, cmd: Any, name: str, d_min: float, source: Reflections | None = None) -> None:
        """Remember the resolution of a map object, and its file; a file known before stays known."""
        before = self._of(cmd, name)
        self.known[name] = Known(d_min, _fingerprint(cmd, name), source or (before.source if before else None))

    def find(self, cmd: Any, name: str) -> float | None:
        """Return the resolution of a map object, also if it was renamed; None if it is not known."""
        known = self._of(cmd, name)
        return known.d_min if known else None

    def source(self, cmd: Any, name: str) -> Reflections | None:
        """Return the file that a map object was made of, if it is known and still the same."""
        known = self._of(cmd, name)
        return known.source if known and known.source and known.source.unchanged else None

    def _of(self, cmd: Any, name: str) -> Known | None:
        if name not in cmd.get_names_of_type("object:map"):
            return None
        mark = _fingerprint(cmd, name)
        own = (self.known[name],) if name in self.known else ()
        return next((known for known in (*own, *self.known.values()) if known.mark == mark), None)

    def to_json(self) -> dict[str, Any]:
        return {
            name: [known.d_min, list(known.mark), asdict(known.source) if known.source else None]
            for name, known in self.known.items()
        }

    def update(self, stored: Any) -> None:
        """Take in what `to_json` made; what is damaged is left out."""
        for name, value in stored.items() if isinstance(stored, Mapping) else ():
            with contextlib.suppress(*checked.DAMAGE):
                source = checked.optional(Reflections.from_json, value[2] if len(value) > 2 else None)
                self.known[name] = Known(checked.number(value[0], 0.1, 100), tuple(map(str, value[1])), source)


def _fingerprint(cmd: Any, name: str) -> Fingerprint:
    """Return the cell, the space group and the least, greatest, mean and rms value: they stay where a map is moved."""
    *cell, group = cmd.get_symmetry(name) or [""]
    values = cmd.get_volume_histogram(name, 1)[:4]
    return (*(f"{x:.5g}" for x in (*cell, *values)), str(group))
