"""The residues around each residue of a crystal, as its own main chain sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.inference.frames import CA, axes_of, with_frames
from edseg_engine.networks.neighbournet import NeighbourNet

#: So many residues are looked at around each, no farther away (Å between CA) than this.
N_NEIGHBOURS, _FARTHEST = 24, 18.0
#: Nearer (Å) than this is the same residue, found twice.
_SAME = 1.0
#: Residues whose neighbours are looked for at a time.
_CHUNK = 2000


@dataclass(frozen=True)
class Neighbours:
    """The residues around each of k residues, itself first, symmetry copies included.

    Attributes
    ----------
    nearest
        shape (k, 1 + N_NEIGHBOURS): which they are; -1 where there is none.
    atoms
        float16, shape (k, 1 + N_NEIGHBOURS, 7, 3): their atoms in Å from CA of the residue, in its frame; zero where
        there is none.
    """

    nearest: NDArray[np.intp]
    atoms: NDArray[np.float16]


def find_neighbours(atoms: NDArray[np.float64], symmetry: Symmetry) -> Neighbours:
    """Return the residues around each residue of a crystal.

    Parameters
    ----------
    atoms
        shape (k, 7, 3): positions in Å, in the order of `edseg_engine.labels.ATOMS`, all known; every residue has a
        frame (`edseg_engine.inference.frames.with_frames`), and there is one at least.
    """
    ca, axes = atoms[:, CA], axes_of(atoms)
    images = symmetry.images_in_box(ca, ca.min(0) - _FARTHEST, ca.max(0) + _FARTHEST)
    tree = cKDTree(images.positions)
    offsets = atoms - ca[:, None]
    nearest = np.empty((len(ca), N_NEIGHBOURS + 1), np.intp)
    seen = np.zeros((*nearest.shape, *atoms.shape[1:]), np.float16)
    for some in np.array_split(np.arange(len(ca)), -(-len(ca) // _CHUNK)):
        away, order = tree.query(ca[some], N_NEIGHBOURS + 1, distance_upper_bound=_FARTHEST)
        there = np.isfinite(away)
        there[:, 1:] &= away[:, 1:] > _SAME
        chosen = np.where(there, order, 0)
        nearest[some] = np.where(there, images.index[chosen], -1)
        place = images.positions[chosen] - ca[some, None]
        copies = np.einsum("kmyx,kmax->kmay", symmetry.turns[images.operation[chosen]], offsets[images.index[chosen]])
        inside = np.einsum("kmax,kxy->kmay", copies + place[:, :, None], axes[some])
        seen[some] = np.where(there[..., None, None], inside, 0.0)
    # On a symmetry element a copy may lie as near as the residue itself.
    nearest[:, 0], seen[:, 0] = np.arange(len(ca)), np.einsum("kax,kxy->kay", offsets, axes)
    return Neighbours(nearest, seen)


def read_among_neighbours(
    net: NeighbourNet,
    atoms: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    symmetry: Symmetry,
    d_min: float,
) -> NDArray[np.float64]:
    """Return class probabilities (k, 17) of residues that heed what is around each.

    Parameters
    ----------
    atoms
        shape (k, 7, 3): positions in Å, in the order of `edseg_engine.labels.ATOMS`. Residues that lack some (NaN), or
        have all in one place, stay as they are and are no neighbours.
    probabilities
        shape (k, 17): of the classes of each, by what was read of it so far.
    d_min
        Resolution of the map in Å.
    """
    known = with_frames(atoms)
    known = known[np.isfinite(atoms[known]).all((1, 2))]
    if not len(known):
        return probabilities
    around = find_neighbours(atoms[known], symmetry)
    together = probabilities.copy()
    together[known] = net.read(probabilities[known], d_min, around.nearest, around.atoms)
    return together
