"""The symmetry of a crystal: copies of positions, without gemmi, which PyMOL's Python lacks."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

Position = tuple[float, float, float]


def pymol_symbol(spacegroup: str) -> str:
    """Return the name of a space group as PyMOL and PDB files have it: R 3:H is H 3."""
    return f"H{spacegroup[1:-2]}" if spacegroup.endswith(":H") else spacegroup


class Crystal:
    """A unit cell (Å, degrees) with its symmetry operations."""

    def __init__(self, cell: Sequence[float], spacegroup: str) -> None:
        from pymol import xray

        a, b, c = cell[:3]
        cos_a, cos_b, cos_g = (math.cos(math.radians(x)) for x in cell[3:])
        sin_g = math.sin(math.radians(cell[5]))
        v = math.sqrt(max(1e-12, 1 - cos_a**2 - cos_b**2 - cos_g**2 + 2 * cos_a * cos_b * cos_g))
        self.orthogonal = (
            (a, b * cos_g, c * cos_b),
            (0.0, b * sin_g, c * (cos_a - cos_b * cos_g) / sin_g),
            (0.0, 0.0, c * v / sin_g),
        )
        known = xray.sg_sym_to_mat_list(pymol_symbol(spacegroup)) or xray.sg_sym_to_mat_list("P 1")
        self.operations: list[Any] = [op[:3] for op in known]
        #: Distances (Å) of the lattice planes that bound the cell.
        self.spacings = tuple(cell[i] * v / math.sin(math.radians(cell[3 + i])) for i in range(3))

    def fractional(self, position: Sequence[float]) -> Position:
        """Return a position (Å) in fractions of the cell."""
        (ax, bx, cx), (_, by, cy), (_, _, cz) = self.orthogonal
        w = position[2] / cz
        v = (position[1] - cy * w) / by
        return (position[0] - bx * v - cx * w) / ax, v, w

    def cartesian(self, uvw: Sequence[float]) -> Position:
        """Return a position in fractions of the cell in Å."""
        x, y, z = (math.fsum(m * u for m, u in zip(row, uvw, strict=True)) for row in self.orthogonal)
        return x, y, z

    def copies(self, position: Sequence[float]) -> list[Position]:
        """Return the copies (fractions of the cell) of a position (Å), one by each operation."""
        uvw = (*self.fractional(position), 1.0)
        made = [tuple(math.fsum(r * x for r, x in zip(row, uvw, strict=True)) for row in op) for op in self.operations]
        return [(u, v, w) for u, v, w in made]


class Neighbours:
    """Positions in a crystal, to find which copy of another position lies nearest to any of them.

    Parameters
    ----------
    positions
        Positions (Å).
    radius
        Pairs nearer than this (Å) are quick to find.
    """

    def __init__(self, crystal: Crystal, positions: Iterable[Sequence[float]], radius: float) -> None:
        self._crystal, self._radius = crystal, radius
        self._counts = tuple(max(1, int(spacing / radius)) for spacing in crystal.spacings)
        self._all = [crystal.fractional(position) for position in positions]
        self._buckets: dict[tuple[int, ...], list[Position]] = defaultdict(list)
        for uvw in self._all:
            self._buckets[self._bucket(uvw)].append(uvw)

    def within(self, position: Sequence[float]) -> tuple[float, Position] | None:
        """Return the distance and the copy (Å) of a position nearest to any other, or None beyond the radius."""
        found = (self._nearest(copy, self._around(copy)) for copy in self._crystal.copies(position))
        return min((pair for pair in found if pair and pair[0] < self._radius), default=None)

    def nearest(self, position: Sequence[float]) -> Position:
        """Return the copy (Å) of a position that is nearest to any other; the position if there is no other."""
        found = self.within(position)
        if found is None:
            far = (self._nearest(copy, self._all) for copy in self._crystal.copies(position))
            found = min((pair for pair in far if pair), default=None)
        x, y, z = position
        return found[1] if found else (x, y, z)

    def _bucket(self, uvw: Sequence[float]) -> tuple[int, ...]:
        return tuple(int(x % 1.0 * n) % n for x, n in zip(uvw, self._counts, strict=True))

    def _around(self, uvw: Sequence[float]) -> list[Position]:
        home = self._bucket(uvw)
        cells = {
            tuple((h + s) % n for h, s, n in zip(home, step, self._counts, strict=True))
            for step in itertools.product((-1, 0, 1), repeat=3)
        }
        return [other for cell in cells for other in self._buckets.get(cell, ())]

    def _nearest(self, uvw: Sequence[float], others: Iterable[Position]) -> tuple[float, Position] | None:
        """Return the distance and the place (Å) of the lattice copy of `uvw` nearest to any of the others."""
        best: tuple[float, Position] | None = None
        for other in others:
            delta = [(x - y) - round(x - y) for x, y in zip(uvw, other, strict=True)]
            distance = math.hypot(*self._crystal.cartesian(delta))
            if best is None or distance < best[0]:
                best = distance, self._crystal.cartesian([y + d for y, d in zip(other, delta, strict=True)])
        return best
