"""What lies near a position, symmetry copies included."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from edseg_engine.building.records import FloatArray
from edseg_engine.crystal.symmetry import Symmetry


class Neighbours:
    """Finds out whether one of some positions (each (3,), Å) is near another."""

    def __init__(self, positions: Iterable[FloatArray], symmetry: Symmetry) -> None:
        self.positions, self.symmetry = np.array(list(positions), dtype=np.float64).reshape(-1, 3), symmetry

    def near(self, position: FloatArray, distance: float) -> bool:
        """Return whether one of them, or a symmetry copy, is nearer than `distance` (Å)."""
        if not len(self.positions):
            return False
        images = self.symmetry.images_in_box(self.positions, position - distance, position + distance)
        return bool(len(images) and cKDTree(images.positions).query(position)[0] < distance)


def ca_of(residue: gemmi.Residue) -> FloatArray:
    """Return the position (3,) of the CA in Å; that of the first atom where there is none."""
    atom = residue.find_atom("CA", "*")
    return np.array((atom or residue[0]).pos.tolist(), dtype=np.float64)
