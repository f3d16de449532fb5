"""The symmetry of a crystal: copies of positions, without gemmi, which PyMOL's Python lacks."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

#: A residue whose centroid lies nearer (Å) to that of a proposal, or of a copy by symmetry, is the same one.
SAME = 2.0

Position = tuple[float, float, float]


class Crystal:
    """Positions modulo the symmetry of a crystal, in cells of a few Å that are quick to look up."""

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
        # R 3:H and R 3:R are H 3 and R 3 in PyMOL.
        name = spacegroup.replace(":R", "")
        name = "H" + name[1:].replace(":H", "") if name.endswith(":H") else name
        self.operations: list[Any] = xray.sg_sym_to_mat_list(name) or xray.sg_sym_to_mat_list("P 1")
        self.counts = tuple(max(1, int(length / SAME)) for length in self._spacings(cell, v))
        self.buckets: dict[tuple[int, ...], list[Position]] = defaultdict(list)

    @staticmethod
    def _spacings(cell: Sequence[float], v: float) -> tuple[float, ...]:
        """Return the distances (Å) of the lattice planes that bound the cell."""
        return tuple(cell[i] * v / math.sin(math.radians(cell[3 + i])) for i in range(3))

    def fractional(self, position: Sequence[float]) -> Position:
        (ax, bx, cx), (_, by, cy), (_, _, cz) = self.orthogonal
        w = position[2] / cz
        v = (position[1] - cy * w) / by
        return (position[0] - bx * v - cx * w) / ax, v, w

    def hashed(self, positions: Iterable[Sequence[float]]) -> Crystal:
        """Store all copies of positions (Å) and return self."""
        for position in positions:
            uvw = (*self.fractional(position), 1.0)
            for op in self.operations:
                copy = tuple(math.fsum(r * x for r, x in zip(row, uvw, strict=True)) % 1.0 for row in op[:3])
                self.buckets[self._bucket(copy)].append((copy[0], copy[1], copy[2]))
        return self

    def _bucket(self, uvw: Sequence[float]) -> tuple[int, ...]:
        return tuple(int(x * n) % n for x, n in zip(uvw, self.counts, strict=True))

    def near(self, position: Sequence[float]) -> bool:
        """Tell whether a copy of a stored position lies within `SAME` of a position (Å)."""
        uvw = tuple(x % 1.0 for x in self.fractional(position))
        home = self._bucket(uvw)
        for step in itertools.product((-1, 0, 1), repeat=3):
            bucket = tuple((h + s) % n for h, s, n in zip(home, step, self.counts, strict=True))
            if any(self._distance(uvw, copy) < SAME for copy in self.buckets.get(bucket, ())):
                return True
        return False

    def _distance(self, one: Sequence[float], other: Sequence[float]) -> float:
        d = [(x - y) - round(x - y) for x, y in zip(one, other, strict=True)]
        return math.hypot(*(math.fsum(m * x for m, x in zip(row, d, strict=True)) for row in self.orthogonal))
