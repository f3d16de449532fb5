"""From the voted main chain of residues to what the density around each says, in the frame of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.inference.normalise import density_scale, normalise
from edseg_engine.labels import ATOMS, N_LABELS
from edseg_engine.networks.framenet import EDGE, SPACING, FrameNet, context_of
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

N, CA, C = (ATOMS.index(name) for name in ("N", "CA", "C"))
#: Where the box begins, in Å from CA: it holds the longest side chains.
_FIRST = np.array([-3.6, -6.0, -6.0])
#: What the first readings find of the main chain is where the next read.
_READINGS = 3
#: Residues that are read at a time, at most, and tell together how good the map is.
_CHUNK = 1000


@dataclass(frozen=True)
class FrameReading:
    """What the network of frames says of k residues.

    Attributes
    ----------
    probabilities
        shape (k, 17): of the classes; NaN for residues that were not read.
    atoms
        shape (k, 7, 3): positions in Å, in the order of `edseg_engine.labels.ATOMS`.
    """

    probabilities: NDArray[np.float64]
    atoms: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrameReader:
    """A map, low-passed as the networks read it, and the network of frames."""

    density: DensityMap
    net: FrameNet

    def read(self, atoms: NDArray[np.float64], progress: ProgressCallback = ignore_progress) -> FrameReading:
        """Read residues whose atoms lie about here.

        Parameters
        ----------
        atoms
            shape (k, 7, 3): positions in Å, in the order of `edseg_engine.labels.ATOMS`. Those without N, CA or C
            (NaN), with all in one place, or outside the map are not read: they stay.
        progress
            Is called often; what it raises ends the reading.
        """
        probabilities, moved = np.full((len(atoms), N_LABELS), np.nan), atoms.copy()
        known = with_frames(atoms)
        chunks = np.array_split(known, max(1, -(-len(known) // _CHUNK)))
        for number, chunk in enumerate(chunks):
            probabilities[chunk], moved[chunk] = self._read(atoms[chunk])
            progress(Progress("classify", (number + 1) / len(chunks)))
        return FrameReading(probabilities, moved)

    def _read(self, atoms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logarithms, inside = np.zeros((len(atoms), N_LABELS)), np.ones(len(atoms), bool)
        for _ in range(_READINGS):
            axes = axes_of(atoms)
            boxes = boxes_of_density(self.density, self._scale, atoms[:, CA], axes)
            inside &= boxes.any((1, 2, 3))
            context = context_of(boxes[inside], float(self.density.d_min or 0.0))
            probabilities, points = self.net.read(boxes, context)
            logarithms += np.log(np.maximum(probabilities, 1e-6)) / _READINGS
            found = atoms[:, CA, None] + np.einsum("kax,kyx->kay", points[:, 1:], axes)
            atoms = np.where(inside[:, None, None], found, atoms)
        mean = np.exp(logarithms)
        return np.where(inside[:, None], mean / mean.sum(1, keepdims=True), np.nan), atoms

    @cached_property
    def _scale(self) -> tuple[float, float]:
        return density_scale(self.density.values)


def axes_of(atoms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes (k, 3, 3) of the frames of residues as columns.

    The first points from CA to where an ideal CB is, the second along the chain from N to C.

    Parameters
    ----------
    atoms
        shape (k, n, 3): in Å, the first three N, CA and C.
    """
    to_ca, to_c = atoms[:, CA] - atoms[:, N], atoms[:, C] - atoms[:, CA]
    # CB of an L-amino acid with ideal geometry.
    side = -0.5827 * np.cross(to_ca, to_c) + 0.5680 * to_ca - 0.5407 * to_c
    side = _unit(side)
    along = to_ca + to_c
    along = _unit(along - (along * side).sum(1, keepdims=True) * side)
    return np.stack([side, along, np.cross(side, along)], axis=-1)


def with_frames(atoms: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which residues (n,) have a frame: of `atoms` (k, n, 3), N, CA and C are known and not in one place."""
    known = np.flatnonzero(np.isfinite(atoms[:, [N, CA, C]]).all((1, 2)))
    return known[np.linalg.norm(axes_of(atoms[known]), axis=1).min(1) > 0]


def boxes_of_density(
    density: DensityMap, scale: tuple[float, float], ca: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float16]:
    """Return the normalised density (k, EDGE, EDGE, EDGE) around `ca` (k, 3) in frames `axes` (k, 3, 3); zero outside.

    Parameters
    ----------
    density
        Low-passed as the networks read it.
    scale
        Its offset and scale, see `edseg_engine.inference.normalise.density_scale`.
    """
    boxes = np.empty((len(ca), EDGE, EDGE, EDGE), np.float16)
    for box, origin, rotation in zip(boxes, ca + axes @ _FIRST, axes, strict=True):
        box[:] = normalise(density.sample(origin, rotation, box.shape, SPACING), *scale)
    return boxes


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-6))
