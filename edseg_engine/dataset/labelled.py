"""Crystals whose residues are known: a map, its model, and the labels of any window of it (thesis, section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.inference.normalise import density_scale, normalise
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.labels import BACKGROUND, N_POINTS
from edseg_engine.residues.known import KnownResidues, nearest_atoms

#: Class of voxels that no loss looks at: they belong to an amino acid without a class.
IGNORED = -1


@dataclass(frozen=True)
class Window:
    """A cube cut from a crystal, with its labels. Arrays are (n, n, n), axis order x, y, z.

    Attributes
    ----------
    density
        float32, normalised.
    classes
        int8: class of each voxel, `BACKGROUND` outside residues, `IGNORED` where unknown.
    residues
        int16: which of the window's residues a voxel belongs to; -1 outside.
    points
        float32, shape (k, n_points, 3): the `POINTS` of the window's residues, in Å from the voxel (0, 0, 0) along
        the axes of the window; NaN where unknown.
    """

    density: NDArray[np.float32]
    classes: NDArray[np.int8]
    residues: NDArray[np.int16]
    points: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KnownMap:
    """A map with the residues that are in it, all symmetry copies included, and what was measured of its crystal.

    `name` is for reports.
    """

    density: DensityMap
    residues: KnownResidues
    name: str = ""
    amplitudes: Amplitudes | None = None

    @cached_property
    def symmetry(self) -> Symmetry:
        return Symmetry(self.density.cell, self.density.spacegroup, self.density.periodic)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        return density_scale(self.density.values)

    def window(
        self,
        center: NDArray[np.float64],
        rotation: NDArray[np.float64],
        size: int,
        spacing: float,
        label_radius: float,
        threshold: float,
    ) -> Window:
        """Cut the cube of `size` voxels of `spacing` Å around `center`, turned by `rotation` (3, 3).

        A voxel above `threshold` (normalised density) belongs to the nearest atom within `label_radius` Å. Voxels below
        are background; their class is not needed.
        """
        shape = (size, size, size)
        origin = center - rotation @ np.full(3, spacing * (size - 1) / 2)
        density = normalise(self.density.sample(origin, rotation, shape, spacing), *self._scale)
        classes = np.full(size**3, BACKGROUND, np.int8)
        members = np.full(size**3, -1, np.int16)
        chosen = np.flatnonzero(density.reshape(-1) > threshold)
        voxels = origin + np.stack(np.unravel_index(chosen, shape), 1) * spacing @ rotation.T
        owner, copies = nearest_atoms(self.residues, self.symmetry, voxels, label_radius)
        classes[chosen[owner == -2]] = IGNORED
        inside = owner >= 0
        classes[chosen[inside]] = self.residues.labels[owner[inside]]
        found, member = np.unique(np.column_stack([owner, copies])[inside], axis=0, return_inverse=True)
        members[chosen[inside]] = member.reshape(-1)
        points = self.residues.points[found[:, 0]]
        flat = self.symmetry.apply(
            points.reshape(-1, 3), np.repeat(found[:, 1], N_POINTS), np.repeat(found[:, 2:], N_POINTS, axis=0)
        )
        points = ((flat - origin) @ rotation).reshape(points.shape)
        return Window(density, classes.reshape(shape), members.reshape(shape), points.astype(np.float32))


def random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a rotation matrix, uniform over SO(3); never a mirror image (amino acids are chiral, thesis 4.3)."""
    w, x, y, z = rng.normal(size=4)
    return np.asarray(Rotation.from_quat((x, y, z, w)).as_matrix())
