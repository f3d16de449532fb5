"""A comparison of two models as JSON; ``docs/file-formats.md`` describes it."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from edseg_engine import __version__
from edseg_engine.evaluation.models import Comparison
from edseg_engine.io.names import shown

COMPARE_SCHEMA = "edseg-compare/1"


def comparison_to_json(comparison: Comparison, built: Path, true: Path) -> dict[str, object]:
    """Return the content of the file: shares and deviations are null where there is nothing to take them of."""
    return {
        "schema": COMPARE_SCHEMA,
        "engine_version": __version__,
        "built": shown(built),
        "true": shown(true),
        **{name: _value(value) for name, value in asdict(comparison).items()},
    }


def _value(value: object) -> object:
    if isinstance(value, dict):
        return {name: _value(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value
