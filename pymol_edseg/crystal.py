"""The symmetry of a crystal: copies of positions, without gemmi, which PyMOL's Python lacks."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Position = tuple[float, float, float]


def pymol_symbol(spacegroup: str) -> str:
    """Return the name of a space group as PyMOL and PDB files have it: R 3:H is H 3."""
    return f"H{spacegroup[1:-2]}" if spacegroup.endswith(":H") else spacegroup


@dataclass(frozen=True, order=True)
class Image:
    """A copy by symmetry: an operation of the space group, by its number, and a translation by whole cells."""

    operation: int = 0
    shift: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, order=True)
class Contact:
    """Where a position comes near to another: the distance (Å), the number of the other, and the copy that does."""

    distance: float
    other: int
    image: Image = Image()


class Crystal:
    """A unit cell (Å, degrees) with its symmetry operations, the first of which is the identity."""

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
        uvw = self.fractional(position)
        return [_apply(operation, uvw) for operation in self.operations]

    def move(self, image: Image, position: Sequence[float]) -> Position:
        """Return where a copy of a position lies (both Å)."""
        moved = _apply(self.operations[image.operation], self.fractional(position))
        return self.cartesian([x + n for x, n in zip(moved, image.shift, strict=True)])

    def inverse(self, image: Image) -> Image:
        """Return the image that moves a copy back to where it comes from."""
        anywhere = (0.12, 0.23, 0.37)
        there = [x + n for x, n in zip(_apply(self.operations[image.operation], anywhere), image.shift, strict=True)]
        for number, operation in enumerate(self.operations):
            back = [a - b for a, b in zip(anywhere, _apply(operation, there), strict=True)]
            if all(abs(x - round(x)) < 1e-4 for x in back):
                u, v, w = map(round, back)
                return Image(number, (u, v, w))
        raise ValueError("the operations are no group")


def _apply(operation: Sequence[Sequence[float]], uvw: Sequence[float]) -> Position:
    u, v, w = (math.fsum(r * x for r, x in zip(row, (*uvw, 1.0), strict=True)) for row in operation)
    return u, v, w


class Neighbours:
    """Positions in a crystal, to find which copies of another position lie near to any of them.

    Parameters
    ----------
    positions
        Positions (Å); they are numbered from 0.
    radius
        What is nearer than this (Å) is near, and quick to find.
    """

    def __init__(self, crystal: Crystal, positions: Iterable[Sequence[float]], radius: float) -> None:
        self._crystal, self._radius = crystal, radius
        self._counts = tuple(max(1, int(spacing / radius)) for spacing in crystal.spacings)
        self._all: list[Position] = []
        self._buckets: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for position in positions:
            self.add(position)

    def add(self, position: Sequence[float]) -> None:
        """Take in another position (Å)."""
        uvw = self._crystal.fractional(position)
        self._buckets[self._bucket(uvw)].append(len(self._all))
        self._all.append(uvw)

    def contacts(self, position: Sequence[float]) -> list[Contact]:
        """Return what is within the radius of any copy of a position (Å), the nearest first."""
        copies = enumerate(self._crystal.copies(position))
        found = (contact for number, uvw in copies for contact in self._compare(number, uvw, self._around(uvw)))
        return sorted(contact for contact in found if contact.distance < self._radius)

    def within(self, position: Sequence[float]) -> Contact | None:
        """Return the copy of a position (Å) that is nearest to any other, or None if none is within the radius."""
        return next(iter(self.contacts(position)), None)

    def nearest(self, position: Sequence[float]) -> Contact | None:
        """Return the copy of a position (Å) that is nearest to any other, however far; None if there is no other."""
        everything = range(len(self._all))
        copies = enumerate(self._crystal.copies(position))
        far = (contact for number, uvw in copies for contact in self._compare(number, uvw, everything))
        return self.within(position) or min(far, default=None)

    def _bucket(self, uvw: Sequence[float]) -> tuple[int, ...]:
        return tuple(int(x % 1.0 * n) % n for x, n in zip(uvw, self._counts, strict=True))

    def _around(self, uvw: Sequence[float]) -> list[int]:
        home = self._bucket(uvw)
        cells = {
            tuple((h + s) % n for h, s, n in zip(home, step, self._counts, strict=True))
            for step in itertools.product((-1, 0, 1), repeat=3)
        }
        return [other for cell in cells for other in self._buckets.get(cell, ())]

    def _compare(self, operation: int, uvw: Sequence[float], others: Iterable[int]) -> Iterable[Contact]:
        """Yield how near the lattice copy of `uvw` that is nearest to each of the others comes to it."""
        for other in others:
            delta = [x - y for x, y in zip(uvw, self._all[other], strict=True)]
            cells = [round(d) for d in delta]
            distance = math.hypot(*self._crystal.cartesian([d - n for d, n in zip(delta, cells, strict=True)]))
            u, v, w = (-n for n in cells)
            yield Contact(distance, other, Image(operation, (u, v, w)))
