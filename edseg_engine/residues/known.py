"""The residues of a model, and which voxels of a map are theirs."""

from __future__ import annotations

from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import ModelFormatError
from edseg_engine.labels import N_POINTS, POINTS, label_of_residue

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
    owner, copies = nearest_atoms(residues, symmetry, positions, radius)
    centroids = np.zeros((len(positions), 3))
    inside = owner >= 0
    centroids[inside] = symmetry.apply(residues.centroids[owner[inside]], copies[inside, 0], copies[inside, 1:])
    return owner, centroids


def nearest_atoms(
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
