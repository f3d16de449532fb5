"""The model card inside a weights file: what a network needs to be used as it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edseg_engine.errors import WeightsError
from edseg_engine.io.names import shown
from edseg_engine.labels import LABELS
from edseg_engine.networks.architectures import config_from_json
from edseg_engine.networks.bounds import check_number
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.stacknet import StackNetConfig
from edseg_engine.resolution import COARSEST, FINEST, ResolutionRange, range_of_resolution

FORMAT = "edseg-weights/1"

#: What the numbers of a card may be: Å for lengths, voxels for the window.
_LIMITS = {
    "d_min": (FINEST, COARSEST),
    "d_max": (FINEST, COARSEST),
    "spacing": (0.4, 2.0),
    "frame": (0.0, 32.0),
    "label_radius": (0.5, 8.0),
    "window": (8, 256),
}
_LARGEST_PARAMETER = 1e3


@dataclass(frozen=True)
class Calibration:
    """Parameters that make probabilities mean what they say, see `edseg_engine.residues.classify`.

    Attributes
    ----------
    temperature
        Exponent of the probabilities: below one they grow more cautious.
    intercept, slope, votes, spread
        The confidence is the logistic function of ``intercept + slope * logit(p1) + votes * log(v) + spread * s``,
        with v the instance's votes over the median of the map and s the spread of its votes in Å.
    """

    temperature: float = 1.0
    intercept: float = 0.0
    slope: float = 1.0
    votes: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True)
class WeightsCard:
    """What a network needs to be used as it was trained.

    Attributes
    ----------
    range
        Resolutions that it was trained on, and the voxels and frame that it reads.
    network
        Shape of the network.
    training
        How it was trained: data, windows seen, options (JSON values).
    classifier, frames, neighbours
        How the classifier of residues, the network of frames and that of neighbours were trained, if there are any
        (JSON values).
    calibration
        Of the probabilities and the confidence.
    cycles
        The same for maps whose phases were improved, see `edseg_engine.improvement`; None is no other.
    """

    range: ResolutionRange
    network: NetworkConfig
    training: Mapping[str, Any] = field(default_factory=dict)
    classifier: Mapping[str, Any] = field(default_factory=dict)
    frames: Mapping[str, Any] = field(default_factory=dict)
    neighbours: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration = Calibration()
    cycles: Calibration | None = None

    def calibration_of(self, cycle: int) -> Calibration:
        """Return the calibration for maps of a cycle, of which the first is of those that are read as they are."""
        return self.cycles if cycle > 1 and self.cycles is not None else self.calibration


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights made a result."""

    name: str
    sha256: str
    d_min: float
    d_max: float

    def to_json(self) -> dict[str, object]:
        """Return what the JSON documents of results say of the weights."""
        return {**asdict(self), "name": shown(self.name)}


def card_to_json(card: WeightsCard) -> str:
    """Return the text that a weights file carries."""
    values = asdict(card)
    head = {"format": FORMAT, "labels": LABELS, "architecture": card.network.architecture}
    return json.dumps({**head, **values.pop("range"), **values})


def card_from_json(text: str, name: str) -> WeightsCard:
    """Return the card of the weights file called `name`.

    Cards written before they had a frame, a label radius and a window get those of their resolution; those written
    before there were architectures are of MT-StackNets.

    Raises
    ------
    WeightsError
        If the text is not a card, or says what no network can be.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise WeightsError(f"{name} does not hold weights of edseg ({FORMAT}).")
        if values.get("labels") != list(LABELS):
            raise WeightsError(f"{name} was trained on other residue classes than this version of edseg has.")
        return WeightsCard(
            _range(values),
            config_from_json(values.get("architecture", StackNetConfig.architecture), values["network"]),
            _object(values, "training"),
            _object(values, "classifier"),
            _frames(values),
            _object(values, "neighbours"),
            _calibration(_object(values, "calibration")),
            None if values.get("cycles") is None else _calibration(_object(values, "cycles")),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise WeightsError(f"{name} has a damaged model card: {said}.") from error


def _range(values: Mapping[str, Any]) -> ResolutionRange:
    name = values["name"]
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        raise ValueError(f"its name is {name!r}")
    for key in ("d_min", "d_max", "spacing"):
        check_number(values[key], key, *_LIMITS[key])
    shipped = asdict(range_of_resolution(values["d_min"]))
    numbers = {key: values.get(key, shipped[key]) for key in _LIMITS}
    for key, limits in _LIMITS.items():
        check_number(numbers[key], key, *limits)
    if not numbers["d_min"] < numbers["d_max"] or not isinstance(numbers["window"], int):
        raise ValueError(f"its resolutions or its window make no sense: {numbers}")
    return ResolutionRange(name, **numbers)


def _calibration(values: Mapping[str, Any]) -> Calibration:
    known = {f.name for f in fields(Calibration)}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"its calibration has a parameter {key!r}")
        low = 1 / _LARGEST_PARAMETER if key == "temperature" else -_LARGEST_PARAMETER
        check_number(value, key, low, _LARGEST_PARAMETER)
    return Calibration(**values)


def _frames(values: Mapping[str, Any]) -> dict[str, Any]:
    frames = _object(values, "frames")
    if not isinstance(frames.get("runs", []), list):
        raise ValueError(f"its frames have the runs {frames['runs']!r}")
    return frames


def _object(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {value!r}")
    return value
