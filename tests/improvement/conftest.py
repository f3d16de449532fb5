"""The crystal whose phases are improved."""

from __future__ import annotations

import pytest

from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry
from places import CRYSTAL


@pytest.fixture(scope="package")
def crystal() -> ExperimentalCrystal:
    return ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, CRYSTAL))
