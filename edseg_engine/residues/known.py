"""The residues of a model, and which voxels of a map are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import ModelFormatError
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.labels import N_POINTS, POINTS, label_of_residue, type_of_residue
from edseg_engine.residues.backbone import robust_means
from edseg_engine.residues.conformers import atoms_by_name
from edseg_engine.residues.instances import Instances, instances_of_seeds, least_weight

_N, _CA, _C, _CB, _NEXT, _PREVIOUS = (POINTS.index(p) for p in ("N", "CA", "C", "CB", "next CA", "previous CA"))
_MAIN = [POINTS.index(p) for p in ("N", "CA", "C", "O", "CB")]
_LONGEST_BOND = 2.0  # Å from C to N of the next residue


@dataclass(frozen=True)
class ResidueName:
    """What a residue is called in its model: chain, type, and number with insertion code."""

    chain: str
    type: str
    number: str

    def __str__(self) -> str:
        return f"{self.chain}/{self.type} {self.number}"


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
        What each residue is called.
    atoms
        shape (n, 3): every atom that is not hydrogen, waters and ligands included, in Å.
    residue_of_atom
        shape (n,): index of the atom's residue; -1 for atoms of no amino acid, -2 for amino acids without a class.
    """

    labels: NDArray[np.intp]
    points: NDArray[np.float64] = field(repr=False)
    names: tuple[ResidueName, ...]
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
    names: list[ResidueName] = []
    atoms: list[list[float]] = []
    owner: list[int] = []
    for chain in model:
        last = -1
        for residue in chain.first_conformer():
            positions = {name: atom.pos.tolist() for name, atom in atoms_by_name(residue).items()}
            xyz = list(positions.values())
            if not xyz:
                continue
            label = label_of_residue(residue.name)
            if label is not None:
                owner += [len(labels)] * len(xyz)
                labels.append(label)
                points.append(_points(positions))
                if last >= 0 and np.linalg.norm(points[last][_C] - points[-1][_N]) < _LONGEST_BOND:
                    points[last][_NEXT], points[-1][_PREVIOUS] = points[-1][_CA], points[last][_CA]
                last = len(labels) - 1
                names.append(ResidueName(chain.name, residue.name, str(residue.seqid)))
            else:
                owner += [-1 if type_of_residue(residue.name) is None else -2] * len(xyz)
            atoms += xyz
    if not labels:
        raise ModelFormatError("The model has no amino-acid residues; a protein model is needed.")
    return KnownResidues(
        np.array(labels), np.array(points), tuple(names), np.array(atoms), np.array(owner, dtype=np.intp)
    )


def _points(positions: Mapping[str, list[float]]) -> NDArray[np.float64]:
    """Return the points (n_points, 3) of a residue but for those of its neighbours, from its atoms by name."""
    points = np.full((N_POINTS, 3), np.nan)
    points[0] = np.mean(list(positions.values()), axis=0)
    for index, name in enumerate(POINTS):
        if name in positions:
            points[index] = positions[name]
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


def voting_near_main_chain(
    residues: KnownResidues, symmetry: Symmetry, prediction: VoxelPrediction, radius: float
) -> Instances:
    """Return as instances the residues of a model, wherever the density has their side chains.

    The voxels within `radius` Å of N, CA, C, O and CB vote for the centroid of the residue that is there, and all
    voxels that vote for about this centroid are its members: a side chain that the model has wrong does not matter.
    """
    k, main = len(residues.labels), residues.points[:, _MAIN]
    known = np.isfinite(main[..., 0])
    of_atom = np.repeat(np.arange(k), len(_MAIN)).reshape(known.shape)
    bare = replace(residues, atoms=main[known], residue_of_atom=of_atom[known])
    usable = prediction.weights > least_weight(prediction.weights)
    votes, weights = prediction.votes[usable].astype(np.float64), prediction.weights[usable].astype(np.float64)
    owner, copies = nearest_atoms(bare, symmetry, prediction.positions[usable].astype(np.float64), radius)
    near = owner >= 0
    home = symmetry.undo(votes[near], copies[near, 0], copies[near, 1:])
    seeds = robust_means(home, weights[near], owner[near], residues.points[:, _CB])
    return instances_of_seeds(prediction.votes, prediction.weights, seeds, symmetry)
