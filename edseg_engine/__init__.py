"""Locate and label the residues of an electron density map, without model and sequence.

```python
from edseg_engine import SegmentOptions, segment

segmentation = segment("tests/data/1az5/data.mtz.gz", SegmentOptions(n_residues=95, device="cpu"))
for residue in segmentation.residues:
    print(residue.position, residue.ranks, residue.confidence)
```

`write_results` writes the files that the command ``edseg segment`` writes, and `read_results` reads them back.
`run_batch` works on many maps, and `write_report` shows what came of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edseg_engine.batch.run import BatchOptions, run_batch
    from edseg_engine.batch.settings import MapSettings
    from edseg_engine.crystal.density_map import DensityMap
    from edseg_engine.crystal.map_grid import MapGrid
    from edseg_engine.errors import Cancelled, EdsegError
    from edseg_engine.io.read import read_map
    from edseg_engine.options import SegmentOptions
    from edseg_engine.pipeline import segment
    from edseg_engine.progress import Progress
    from edseg_engine.report.page import write_report
    from edseg_engine.results.files import write_results
    from edseg_engine.results.reading import read_results
    from edseg_engine.results.records import ResidueProposal, Segmentation

__version__ = "0.1.0"

#: Public names and the modules they come from. They are imported when they are first used: PyTorch takes seconds to
#: load.
_EXPORTS = {
    "BatchOptions": "edseg_engine.batch.run",
    "Cancelled": "edseg_engine.errors",
    "DensityMap": "edseg_engine.crystal.density_map",
    "EdsegError": "edseg_engine.errors",
    "MapGrid": "edseg_engine.crystal.map_grid",
    "MapSettings": "edseg_engine.batch.settings",
    "Progress": "edseg_engine.progress",
    "ResidueProposal": "edseg_engine.results.records",
    "SegmentOptions": "edseg_engine.options",
    "Segmentation": "edseg_engine.results.records",
    "read_map": "edseg_engine.io.read",
    "read_results": "edseg_engine.results.reading",
    "run_batch": "edseg_engine.batch.run",
    "segment": "edseg_engine.pipeline",
    "write_report": "edseg_engine.report.page",
    "write_results": "edseg_engine.results.files",
}

__all__ = [
    "BatchOptions",
    "Cancelled",
    "DensityMap",
    "EdsegError",
    "MapGrid",
    "MapSettings",
    "Progress",
    "ResidueProposal",
    "SegmentOptions",
    "Segmentation",
    "__version__",
    "read_map",
    "read_results",
    "run_batch",
    "segment",
    "write_report",
    "write_results",
]


if not TYPE_CHECKING:  # a type checker is to find names that do not exist

    def __getattr__(name: str) -> object:
        if name not in _EXPORTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
