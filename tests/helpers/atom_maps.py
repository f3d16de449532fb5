"""Maps of one atom in several cells."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
from numpy.typing import NDArray

CELLS = {
    "monoclinic": gemmi.UnitCell(14, 17, 15, 90, 105, 90),
    "triclinic": gemmi.UnitCell(14, 16, 18, 75, 100, 110),
    "hexagonal": gemmi.UnitCell(15, 15, 20, 90, 90, 120),
    "cubic": gemmi.UnitCell(16, 16, 16, 90, 90, 90),
}
SAMPLING = (26, 32, 36)
ATOM = np.array([0.4, 0.55, 0.45])  # fractional
B = 8 * np.pi**2 * 0.9**2  # a Gaussian of 0.9 Å


def atom_density(cell: gemmi.UnitCell, fractional: NDArray[np.float64], periodic: bool = True) -> NDArray[np.float64]:
    """Density of one Gaussian atom at ATOM, and of its copies in the 26 cells around, at positions (..., 3)."""
    orth = np.array(cell.orth.mat)
    shifts = itertools.product((-1, 0, 1), repeat=3) if periodic else [(0, 0, 0)]
    delta = fractional - ATOM
    if periodic:
        delta = delta - np.round(delta)
    total = np.zeros(delta.shape[:-1])
    for shift in shifts:
        total += np.exp(-4 * np.pi**2 / B * (((delta + shift) @ orth.T) ** 2).sum(axis=-1))
    return total


def grid_values(
    cell: gemmi.UnitCell, start: tuple[int, int, int], shape: tuple[int, int, int], periodic: bool = True
) -> NDArray[np.float64]:
    axes = [(np.arange(n) + s) / full for n, s, full in zip(shape, start, SAMPLING, strict=True)]
    return atom_density(cell, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), periodic)


def around_atom(cell: gemmi.UnitCell, shift: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
    """Corner of a 5 Å box whose centre is the atom."""
    return np.array(cell.orth.mat) @ ATOM - 2.5 + shift


def centroid(box: NDArray[np.float32], origin: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    points = origin + spacing * np.stack(np.meshgrid(*map(np.arange, box.shape), indexing="ij"), axis=-1)
    result: NDArray[np.float64] = (points * box[..., None]).sum(axis=(0, 1, 2)) / box.sum(dtype=float)
    return result
