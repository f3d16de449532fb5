"""Crystals whose residues are known: a map, its model, and the labels of any window of it (thesis, section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import ModelFormatError
from edseg_engine.inference.normalise import density_scale, normalise
from edseg_engine.labels import BACKGROUND, label_of_residue

#: Class of voxels that no loss looks at: they belong to an amino acid without a class.
IGNORED = -1


@dataclass(frozen=True)
class KnownResidues:
    """The residues of a model and all its atoms.

    Attributes
    ----------
    labels
        shape (k,): class index of each residue.
    centroids
        shape (k, 3): mean of the residue's atoms, in Å.
    names
        Chain, residue name and number of each residue, for reports.
    atoms
        shape (n, 3): every atom that is not hydrogen, waters and ligands included, in Å.
    residue_of_atom
        shape (n,): index of the atom's residue; -1 for atoms of no amino acid, -2 for amino acids without a class.
    """

    labels: NDArray[np.intp]
    centroids: NDArray[np.float64]
    names: tuple[str, ...]
    atoms: NDArray[np.float64] = field(repr=False)
    residue_of_atom: NDArray[np.intp] = field(repr=False)


def known_residues(model: gemmi.Model) -> KnownResidues:
    """Collect the labelled residues of a model; of alternative conformations the first is taken.

    Raises
    ------
    ModelFormatError
        If the model has no amino acid.
    """
    labels: list[int] = []
    centroids: list[NDArray[np.float64]] = []
    names: list[str] = []
    atoms: list[list[float]] = []
    owner: list[int] = []
    for chain in model:
        for residue in chain.first_conformer():
            xyz = [a.pos.tolist() for a in residue.first_conformer() if not a.is_hydrogen() and a.occ > 0]
            if not xyz:
                continue
            label = label_of_residue(residue.name)
            if label is not None:
                owner += [len(labels)] * len(xyz)
                labels.append(label)
                centroids.append(np.mean(xyz, axis=0))
                names.append(f"{chain.name}/{residue.name} {residue.seqid}")
            else:
                unknown = gemmi.find_tabulated_residue(residue.name).is_amino_acid() or residue.name == "UNK"
                owner += [-2 if unknown else -1] * len(xyz)
            atoms += xyz
    if not labels:
        raise ModelFormatError("The model has no amino-acid residues; a protein model is needed.")
    return KnownResidues(
        np.array(labels), np.array(centroids), tuple(names), np.array(atoms), np.array(owner, dtype=np.intp)
    )


@dataclass(frozen=True)
class Window:
    """A cube cut from a crystal, with its labels. Arrays are (n, n, n), axis order x, y, z.

    Attributes
    ----------
    density
        float32, normalised.
    classes
        int8: class of each voxel, `BACKGROUND` outside residues, `IGNORED` where unknown.
    offsets
        float16, shape (3, n, n, n): vector in Å from the voxel to its residue's centroid; zero outside residues.
    """

    density: NDArray[np.float32]
    classes: NDArray[np.int8]
    offsets: NDArray[np.float16]


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
    owner = np.full(len(positions), -1, np.intp)
    centroids = np.zeros((len(positions), 3))
    if not len(positions):
        return owner, centroids
    images = symmetry.images_in_box(residues.atoms, positions.min(0) - radius, positions.max(0) + radius)
    if not len(images):
        return owner, centroids
    tree = cKDTree(images.positions, balanced_tree=False, compact_nodes=False)
    distance, nearest = tree.query(positions, distance_upper_bound=radius)
    near = np.isfinite(distance)
    owner[near] = residues.residue_of_atom[images.index[nearest[near]]]
    inside = np.flatnonzero(owner >= 0)
    copy = nearest[inside]
    centroids[inside] = symmetry.apply(residues.centroids[owner[inside]], images.operation[copy], images.shift[copy])
    return owner, centroids


class LabelledCrystal:
    """A density map with the residues that are in it, all symmetry copies included."""

    def __init__(self, density: DensityMap, residues: KnownResidues) -> None:
        self.density, self.residues = density, residues
        self.symmetry = Symmetry(density.cell, density.spacegroup, density.periodic)
        self.offset, self.scale = density_scale(density.values)

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
        density = normalise(self.density.sample(origin, rotation, shape, spacing), self.offset, self.scale)
        classes = np.full(size**3, BACKGROUND, np.int8)
        offsets = np.zeros((size**3, 3), np.float16)
        chosen = np.flatnonzero(density.reshape(-1) > threshold)
        voxels = origin + np.stack(np.unravel_index(chosen, shape), 1) * spacing @ rotation.T
        owner, centroids = owners(self.residues, self.symmetry, voxels, label_radius)
        classes[chosen[owner == -2]] = IGNORED
        inside = owner >= 0
        classes[chosen[inside]] = self.residues.labels[owner[inside]]
        offsets[chosen[inside]] = (centroids - voxels)[inside] @ rotation
        return Window(density, classes.reshape(shape), np.ascontiguousarray(offsets.T).reshape(3, *shape))


def random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a rotation matrix, uniform over SO(3); never a mirror image (amino acids are chiral, thesis 4.3)."""
    q = rng.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
