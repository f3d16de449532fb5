"""Crystals whose residues are known: a map, its model, and the labels of any window of it (thesis, section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import ModelFormatError
from edseg_engine.inference.normalise import density_scale, normalise
from edseg_engine.labels import BACKGROUND, N_POINTS, POINTS, label_of_residue

#: Class of voxels that no loss looks at: they belong to an amino acid without a class.
IGNORED = -1

_N, _CA, _C, _CB, _NEXT, _PREVIOUS = (POINTS.index(p) for p in ("N", "CA", "C", "CB", "next CA", "previous CA"))
_LONGEST_BOND = 2.0  # Å from C to N of the next residue


@dataclass(frozen=True)
class KnownResidues:
    """The residues of a model and all its atoms.

    Attributes
    ----------
    labels
        shape (k,): class index of each residue.
    points
        shape (k, n_points, 3): the residue's `POINTS` in Å, the centroid (mean of its atoms) first; NaN where the model
        lacks one.
    names
        Chain, residue name and number of each residue, for reports.
    atoms
        shape (n, 3): every atom that is not hydrogen, waters and ligands included, in Å.
    residue_of_atom
        shape (n,): index of the atom's residue; -1 for atoms of no amino acid, -2 for amino acids without a class.
    """

    labels: NDArray[np.intp]
    points: NDArray[np.float64] = field(repr=False)
    names: tuple[str, ...]
    atoms: NDArray[np.float64] = field(repr=False)
    residue_of_atom: NDArray[np.intp] = field(repr=False)

    @property
    def centroids(self) -> NDArray[np.float64]:
        """Mean of each residue's atoms, shape (k, 3), in Å."""
        return self.points[:, 0]


def known_residues(model: gemmi.Model) -> KnownResidues:
    """Collect the labelled residues of a model; of alternative conformations the first is taken.

    Raises
    ------
    ModelFormatError
        If the model has no amino acid.
    """
    labels: list[int] = []
    points: list[NDArray[np.float64]] = []
    names: list[str] = []
    atoms: list[list[float]] = []
    owner: list[int] = []
    for chain in model:
        last = -1
        for residue in chain.first_conformer():
            xyz = [a.pos.tolist() for a in residue.first_conformer() if not a.is_hydrogen() and a.occ > 0]
            if not xyz:
                continue
            label = label_of_residue(residue.name)
            if label is not None:
                owner += [len(labels)] * len(xyz)
                labels.append(label)
                points.append(_points(residue, np.mean(xyz, axis=0)))
                if last >= 0 and np.linalg.norm(points[last][_C] - points[-1][_N]) < _LONGEST_BOND:
                    points[last][_NEXT], points[-1][_PREVIOUS] = points[-1][_CA], points[last][_CA]
                last = len(labels) - 1
                names.append(f"{chain.name}/{residue.name} {residue.seqid}")
            else:
                unknown = gemmi.find_tabulated_residue(residue.name).is_amino_acid() or residue.name == "UNK"
                owner += [-2 if unknown else -1] * len(xyz)
            atoms += xyz
    if not labels:
        raise ModelFormatError("The model has no amino-acid residues; a protein model is needed.")
    return KnownResidues(
        np.array(labels), np.array(points), tuple(names), np.array(atoms), np.array(owner, dtype=np.intp)
    )


def _points(residue: gemmi.Residue, centroid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points (n_points, 3) of a residue but for those of its neighbours."""
    points = np.full((N_POINTS, 3), np.nan)
    points[0] = centroid
    for index, name in enumerate(POINTS):
        atom = residue.find_atom(name, "*")
        if atom is not None:
            points[index] = atom.pos.tolist()
    if np.isnan(points[_CB, 0]):
        points[_CB] = virtual_cb(points[_N], points[_CA], points[_C])
    return points


def virtual_cb(n: NDArray[np.float64], ca: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where CB is, or would be, by the ideal geometry around CA; arrays of positions (..., 3) in Å."""
    b, d = ca - n, c - ca
    return np.asarray(-0.58273431 * np.cross(b, d) + 0.56802827 * b - 0.54067466 * d + ca)


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


def owners(
    residues: KnownResidues, symmetry: Symmetry, positions: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return whose density lies at each position (n, 3) in Å: that of the nearest atom within `radius` Å.

    Returns
    -------
    owner
        shape (n,): index of the residue, -1 for none (solvent, ligands), -2 for an amino acid without a class.
    centroids
        shape (n, 3): centroid of that copy of the residue; meaningless where `owner` is negative.
    """
    owner, copies = _nearest_atoms(residues, symmetry, positions, radius)
    centroids = np.zeros((len(positions), 3))
    inside = owner >= 0
    centroids[inside] = symmetry.apply(residues.centroids[owner[inside]], copies[inside, 0], copies[inside, 1:])
    return owner, centroids


def _nearest_atoms(
    residues: KnownResidues, symmetry: Symmetry, positions: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the owner of each position (n,) as `owners` does, and the operation and lattice shift (n, 4) of the
    owner's copy."""
    owner = np.full(len(positions), -1, np.intp)
    copies = np.zeros((len(positions), 4), np.intp)
    if not len(positions):
        return owner, copies
    images = symmetry.images_in_box(residues.atoms, positions.min(0) - radius, positions.max(0) + radius)
    if not len(images):
        return owner, copies
    tree = cKDTree(images.positions, balanced_tree=False, compact_nodes=False)
    distance, nearest = tree.query(positions, distance_upper_bound=radius)
    near = np.isfinite(distance)
    image = nearest[near]
    owner[near] = residues.residue_of_atom[images.index[image]]
    copies[near, 0], copies[near, 1:] = images.operation[image], images.shift[image]
    return owner, copies


@dataclass(frozen=True, eq=False)
class KnownMap:
    """A map with the residues that are in it, all symmetry copies included; `name` is for reports."""

    density: DensityMap
    residues: KnownResidues
    name: str = ""

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
        owner, copies = _nearest_atoms(self.residues, self.symmetry, voxels, label_radius)
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
