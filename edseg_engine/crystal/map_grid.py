"""Where the values of a map lie: its grid in the unit cell."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MapGrid:
    """A grid of points along the edges of a unit cell, of which a map has all or a box.

    Attributes
    ----------
    cell, spacegroup
        Unit cell (Å, degrees) and space group; P1 where a file has none.
    sampling
        Grid points along the full cell edges a, b, c.
    start
        Index (u, v, w), on that sampling, of the first point of the map.
    origin
        (x, y, z) in Å to add to every position (MRC ORIGIN of maps that are not crystals).
    """

    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    sampling: tuple[int, int, int]
    start: tuple[int, int, int] = (0, 0, 0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def positions(self, points: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return positions (n, 3) in Å of points (n, 3), counted along u, v, w from the first point of the map."""
        fractional = (points + np.array(self.start)) / self.sampling
        return np.asarray(fractional @ np.array(self.cell.orth.mat.tolist()).T + self.origin)

    def fractional(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return coordinates (n, 3) in fractions of the cell edges of positions (n, 3) in Å."""
        return np.asarray((positions - self.origin) @ np.array(self.cell.frac.mat.tolist()).T)
