"""Locate and label the residues of an electron density map, without model and sequence."""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

#: Public names and the modules they come from. They are imported when they are first used: PyTorch takes seconds to
#: load.
_EXPORTS = {
    "DensityMap": "edseg_engine.crystal.density_map",
    "EdsegError": "edseg_engine.errors",
    "Progress": "edseg_engine.progress",
    "SegmentOptions": "edseg_engine.options",
    "Segmentation": "edseg_engine.results.records",
    "read_map": "edseg_engine.io.read",
    "segment": "edseg_engine.pipeline",
    "write_results": "edseg_engine.results.files",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
