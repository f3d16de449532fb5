"""Cells that have the symmetry of a space group in any setting."""

from __future__ import annotations

import gemmi
import numpy as np

#: Every setting of the space groups of chiral molecules.
SETTINGS = [spacegroup for spacegroup in gemmi.spacegroup_table() if spacegroup.is_sohncke()]


def symmetric_cell(
    spacegroup: gemmi.SpaceGroup, cell: tuple[float, float, float, float, float, float] = (14, 16, 18, 75, 100, 110)
) -> gemmi.UnitCell:
    """Return the cell nearest to `cell` that has the symmetry: the mean of its metric tensor over all operations."""
    orth = np.array(gemmi.UnitCell(*cell).orth.mat)
    metric = orth.T @ orth
    rotations = [np.array(op.rot) / op.DEN for op in spacegroup.operations()]
    mean = np.mean([rotation.T @ metric @ rotation for rotation in rotations], axis=0)
    lengths = np.sqrt(np.diag(mean))
    angles = [np.degrees(np.arccos(mean[i, j] / (lengths[i] * lengths[j]))) for i, j in ((1, 2), (0, 2), (0, 1))]
    return gemmi.UnitCell(*(round(float(x), 3) for x in (*lengths, *angles)))
