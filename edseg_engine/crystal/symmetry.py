"""Symmetry copies of positions: the crystal around a box, or nothing where a map has no crystal."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Images:
    """Symmetry copies of some positions.

    Attributes
    ----------
    index
        shape (m,): which of the original positions.
    operation
        shape (m,): index of the symmetry operation.
    shift
        shape (m, 3): lattice translation added after the operation, in cells.
    positions
        shape (m, 3): x, y, z in Å.
    """

    index: IntArray
    operation: IntArray
    shift: IntArray
    positions: FloatArray

    def __len__(self) -> int:
        return len(self.index)


class Symmetry:
    """The symmetry operations of a crystal, applied to Cartesian positions in Å.

    Parameters
    ----------
    cell
        Unit cell.
    spacegroup
        Space group whose operations (centring included) make the copies; P1 leaves the lattice translations.
    periodic
        False for a map without a crystal: each position is its own only copy.
    """

    def __init__(self, cell: gemmi.UnitCell, spacegroup: gemmi.SpaceGroup, periodic: bool = True) -> None:
        self.cell, self.periodic = cell, periodic
        self.spacegroup = spacegroup if periodic else gemmi.SpaceGroup("P 1")
        self.orthogonalisation = np.array(cell.orth.mat.tolist())
        self.fractionalisation = np.array(cell.frac.mat.tolist())
        operations = list(self.spacegroup.operations())
        self.rotations: FloatArray = np.array([op.rot for op in operations], float) / gemmi.Op.DEN
        self.translations: FloatArray = np.array([op.tran for op in operations], float) / gemmi.Op.DEN
        #: The rotations (n, 3, 3) in Cartesian axes.
        self.turns: FloatArray = self.orthogonalisation @ self.rotations @ self.fractionalisation

    def __len__(self) -> int:
        return len(self.rotations)

    def to_fractional(self, positions: FloatArray) -> FloatArray:
        """Return fractional coordinates of positions in Å, shape (n, 3)."""
        return positions @ self.fractionalisation.T

    def to_orthogonal(self, fractional: FloatArray) -> FloatArray:
        """Return positions in Å of fractional coordinates, shape (n, 3)."""
        return fractional @ self.orthogonalisation.T

    def images_in_box(self, positions: FloatArray, low: FloatArray, high: FloatArray) -> Images:
        """Return every copy of `positions` (n, 3) that lies between the corners `low` and `high` (Å)."""
        positions = np.asarray(positions, float).reshape(-1, 3)
        if not self.periodic:
            inside = np.flatnonzero(((positions >= low) & (positions <= high)).all(1))
            zero = np.zeros(len(inside), np.intp)
            return Images(inside, zero, np.zeros((len(inside), 3), np.intp), positions[inside])
        corners = self.to_fractional(np.array(list(itertools.product(*zip(low, high, strict=True))), float))
        lowest, highest = corners.min(0), corners.max(0)
        first, last = np.floor(lowest).astype(int), np.floor(highest).astype(int)
        found: list[Images] = []
        fractional = self.to_fractional(positions)
        for number, (rotation, translation) in enumerate(zip(self.rotations, self.translations, strict=True)):
            moved = fractional @ rotation.T + translation
            base = np.floor(moved).astype(np.intp)
            wrapped = moved - base
            for lattice in itertools.product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))):
                # The box in fractional coordinates is cheap to test and leaves few candidates.
                near = np.flatnonzero(
                    ((wrapped >= lowest - np.array(lattice)) & (wrapped <= highest - np.array(lattice))).all(1)
                )
                xyz = self.to_orthogonal(wrapped[near] + lattice)
                boxed = ((xyz >= low) & (xyz <= high)).all(1)
                chosen = near[boxed]
                if len(chosen):
                    found.append(
                        Images(chosen, np.full(len(chosen), number), np.array(lattice) - base[chosen], xyz[boxed])
                    )
        if not found:
            empty = np.zeros(0, np.intp)
            return Images(empty, empty, np.zeros((0, 3), np.intp), np.zeros((0, 3)))
        return Images(
            np.concatenate([f.index for f in found]),
            np.concatenate([f.operation for f in found]),
            np.concatenate([f.shift for f in found]),
            np.concatenate([f.positions for f in found]),
        )

    def apply(self, positions: FloatArray, operation: IntArray, shift: IntArray) -> FloatArray:
        """Return the copies (n, 3) of `positions` under the operations (n,) and lattice shifts (n, 3)."""
        fractional = self.to_fractional(positions)
        moved = np.einsum("nij,nj->ni", self.rotations[operation], fractional) + self.translations[operation] + shift
        return self.to_orthogonal(moved)

    def nearest_copies(self, positions: FloatArray, goals: FloatArray) -> tuple[IntArray, IntArray]:
        """Return the operation (n,) and lattice shift (n, 3) that bring each position (n, 3) nearest to its goal."""
        operation, shift = np.zeros(len(positions), np.intp), np.zeros((len(positions), 3), np.intp)
        if not self.periodic:
            return operation, shift
        fractional, wanted = self.to_fractional(positions), self.to_fractional(goals)
        best = np.full(len(positions), np.inf)
        for number, (rotation, translation) in enumerate(zip(self.rotations, self.translations, strict=True)):
            moved = fractional @ rotation.T + translation
            cells = np.round(wanted - moved)
            distance = np.linalg.norm(self.to_orthogonal(moved + cells - wanted), axis=1)
            nearer = distance < best
            best[nearer], operation[nearer], shift[nearer] = distance[nearer], number, cells[nearer]
        return operation, shift

    def undo(self, positions: FloatArray, operation: IntArray, shift: IntArray) -> FloatArray:
        """Return the originals (n, 3) whose copies under `operation` and `shift` are `positions`."""
        fractional = self.to_fractional(positions) - shift - self.translations[operation]
        inverse = np.linalg.inv(self.rotations)[operation]
        return self.to_orthogonal(np.einsum("nij,nj->ni", inverse, fractional))
