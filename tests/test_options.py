"""Options that make no sense are refused where they are written down, before anything is read or run."""

from __future__ import annotations

from typing import Any

import pytest

from edseg_engine.errors import OptionError, ResolutionError
from edseg_engine.options import SegmentOptions

BOX = (0.0, 0.0, 0.0, 9.0, 9.0, 9.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_residues": 0}, "at least 1"),
        ({"n_residues": 2.5}, "whole number"),
        ({"orientations": 25}, "orientations must be 1 to 24"),
        ({"orientations": 1.5}, "orientations must be 1 to 24"),
        ({"views": 0}, "views must be 1 to 12"),
        ({"cycles": 0}, "cycles must be 1 to 12"),
        ({"cycles": 13}, "cycles must be 1 to 12"),
        ({"cycles": 2, "region": "cell"}, "region asu"),
        ({"cycles": 2, "box": BOX}, "region asu"),
        ({"region": "everything"}, "no region 'everything'"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"region": "asu", "box": BOX}, "exclude each other"),
        ({"box": (0.0, 0.0, 9.0, 9.0, 9.0, 0.0)}, "lowest"),
        ({"box": (0.0, 0.0, 0.0, 9.0, 9.0, float("nan"))}, "lowest"),
        ({"box": (0.0, 0.0, 0.0)}, "lowest"),
    ],
)
def test_senseless_options_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SegmentOptions(**values)


@pytest.mark.parametrize("resolution", [0.0, -2.0, 9.0, float("nan")])
def test_a_resolution_without_a_network_is_refused(resolution: float) -> None:
    with pytest.raises(ResolutionError, match="outside"):
        SegmentOptions(resolution=resolution)


def test_sensible_options_are_taken() -> None:
    SegmentOptions(resolution=2.8, n_residues=95, region="box", device="cpu", orientations=24, views=12, box=BOX)
    SegmentOptions(region="asu", cycles=12)
