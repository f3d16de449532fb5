"""Whether what `edseg build` needs is installed."""

from __future__ import annotations

import importlib.util

import pytest

needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("coot_headless_api") is None or importlib.util.find_spec("servalcat") is None,
    reason="the extra 'build' is not installed",
)
