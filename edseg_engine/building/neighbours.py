"""What lies near a position, symmetry copies included."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi
import numpy as np

from edseg_engine.building.records import FloatArray
from edseg_engine.crystal.symmetry import Images, Symmetry


class Neighbours:
    """Finds out whether one of some positions (each (3,), Å) is near another."""

    def __init__(self, positions: Iterable[FloatArray], symmetry: Symmetry) -> None:
        self.positions, self.symmetry = np.array(list(positions), dtype=np.float64).reshape(-1, 3), symmetry

    def near(self, position: FloatArray, distance: float) -> bool:
        """Return whether one of them, or a symmetry copy, is nearer than `distance` (Å)."""
        return bool((np.linalg.norm(self._images(position, distance).positions - position, axis=1) < distance).any())

    def copy_near(self, position: FloatArray, distance: float) -> bool:
        """Return whether a symmetry copy of one of them is nearer than `distance` (Å); they themselves do not count."""
        images = self._images(position, distance)
        copies = images.positions[(images.operation != 0) | images.shift.any(1)]
        return bool((np.linalg.norm(copies - position, axis=1) < distance).any())

    def _images(self, position: FloatArray, distance: float) -> Images:
        return self.symmetry.images_in_box(self.positions, position - distance, position + distance)


def ca_of(residue: gemmi.Residue) -> FloatArray:
    """Return the position (3,) of the CA in Å; that of the first atom where there is none."""
    atom = residue.find_atom("CA", "*")
    return np.array((atom or residue[0]).pos.tolist(), dtype=np.float64)
