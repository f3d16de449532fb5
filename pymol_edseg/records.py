"""What belongs to a result or a run besides what the engine found: the map, the view, the flags of the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pymol_edseg import checked
from pymol_edseg.label_format import check_format
from pymol_edseg.palette import LABELS

COLOR_MODES = ("class", "confidence", "property")


@dataclass(frozen=True)
class MapReference:
    """The map object of a result.

    Attributes
    ----------
    name, state
        The object and its state, from 1.
    moved
        The object's matrix (TTT, 16 numbers) if the map was moved on the screen, else None. Results get it, too.
    """

    name: str
    state: int = 1
    moved: tuple[float, ...] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MapReference:
        """Read a map reference; raises an error of `checked.DAMAGE`."""
        moved = checked.optional(lambda matrix: checked.numbers(matrix, 16), values["moved"])
        return cls(checked.object_name(values["name"]), checked.whole(values["state"], 1, 10**6), moved)


@dataclass(frozen=True)
class ViewSettings:
    """How a result is shown.

    Attributes
    ----------
    color
        One of `COLOR_MODES`.
    label
        A label format, or the name of one.
    min_confidence
        Proposals less sure (per cent) have no label.
    shown
        Classes whose surfaces are shown.
    level
        Of the surfaces, in the units of the map; None until they are drawn.
    """

    color: str = "class"
    label: str = "focus"
    min_confidence: float = 0.0
    shown: tuple[str, ...] = ()
    level: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any], lost: list[str]) -> ViewSettings:
        """Read view settings; what is damaged is as by default and added to `lost`."""
        kept = checked.kept
        return cls(
            kept(lambda: _one_of(COLOR_MODES, values["color"]), cls.color, "the colouring", lost),
            kept(lambda: check_format(values["label"]), cls.label, "the label format", lost),
            kept(lambda: checked.number(values["min_confidence"], 0, 100), 0.0, "the least confidence", lost),
            kept(lambda: tuple(_one_of(LABELS, label) for label in values["shown"]), LABELS, "the classes shown", lost),
            kept(lambda: checked.optional(_level, values["level"]), None, "the level", lost),
        )


@dataclass(frozen=True)
class RunFlags:
    """How the command that started a run reports.

    Attributes
    ----------
    quiet
        Say nothing.
    alone
        The command has returned, so that the run has to report its own errors.
    """

    quiet: bool = False
    alone: bool = False


def to_json(record: MapReference | ViewSettings | None) -> dict[str, Any] | None:
    """Return what `from_json` of the record reads."""
    return None if record is None else asdict(record)


def _one_of(allowed: tuple[str, ...], value: Any) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return str(value)


def _level(value: Any) -> float:
    return checked.number(value, -1e38, 1e38)
