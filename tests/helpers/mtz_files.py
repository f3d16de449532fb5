"""Writes MTZ files of given columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np


def write_mtz(path: Path, source: Mapping[str, np.ndarray], columns: Mapping[str, tuple[str, np.ndarray]]) -> Path:
    """Write an MTZ with the indices of `source` and `columns` {label: (type, values)}."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 32 2 1")
    mtz.set_cell_for_all(gemmi.UnitCell(45.4, 45.4, 87.9, 90, 90, 120))
    mtz.add_dataset("crystal")
    for label, (kind, _) in columns.items():
        mtz.add_column(label, kind)
    data = [source[label] for label in "HKL"] + [values for _, values in columns.values()]
    mtz.set_data(np.stack(data, axis=1).astype(np.float32))
    mtz.write_to_file(str(path))
    return path
