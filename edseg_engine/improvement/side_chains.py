"""The conformations of side chains that are frequent, and how well each fits the density at its residue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.inference.normalise import density_scale, normalise
from edseg_engine.labels import LABELS

#: Written by ``python -m tools.side_chains``.
LIBRARY = "side_chains.json"
#: Gain in the logarithm of a conformation's probability for one unit of normalised density at one of its atoms.
_DENSITY = 2.0


@dataclass(frozen=True)
class SideChain:
    """The conformations of one amino acid.

    Attributes
    ----------
    type
        Residue name.
    atoms
        Names of its m atoms from CB on.
    positions
        shape (n, m, 3): in Å from CA, in the frame of the main chain (`edseg_engine.inference.frames.axes_of`).
    shares
        shape (n,): how frequent each conformation is among all residues.
    """

    type: str
    atoms: tuple[str, ...]
    positions: NDArray[np.float64]
    shares: NDArray[np.float64]


@cache
def side_chains() -> dict[int, tuple[SideChain, ...]]:
    """Return the side chains of each class of `edseg_engine.labels.LABELS`; glycine has none."""
    known = {
        name: SideChain(name, tuple(of["atoms"]), np.array(of["positions"]), np.array(of["shares"]))
        for name, of in json.loads(files(__package__).joinpath(LIBRARY).read_text(encoding="ascii")).items()
    }
    return {
        label: tuple(known[name] for name in names.split("/") if name in known) for label, names in enumerate(LABELS)
    }


class SideChainFit:
    """How well side chains fit a density.

    Parameters
    ----------
    density
        Of a whole cell.
    """

    def __init__(self, density: DensityMap) -> None:
        self._values = normalise(density.values, *density_scale(density.values))
        self._to_index = np.array(density.cell.frac.mat).T * density.values.shape

    def at(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the normalised density at positions (..., 3) in Å, by linear interpolation."""
        index = np.moveaxis(positions @ self._to_index, -1, 0)
        return np.asarray(ndimage.map_coordinates(self._values, index, order=1, mode="grid-wrap"), np.float64)

    def conformations(
        self, label: int, ca: NDArray[np.float64], axes: NDArray[np.float64]
    ) -> Iterator[tuple[SideChain, NDArray[np.float64], NDArray[np.float64]]]:
        """Yield each side chain of a class with its probability at k residues, given that they are of this class.

        Parameters
        ----------
        ca, axes
            shape (k, 3) and (k, 3, 3): where the residues are and how they lie, see
            `edseg_engine.inference.frames.axes_of`.

        Yields
        ------
        SideChain
        NDArray[np.float64], shape (k, n, m, 3)
            Positions of its m atoms in its n conformations, in Å.
        NDArray[np.float64], shape (k, n)
            Probability of each; over all side chains of the class they sum to one.
        """
        chains = side_chains()[label]
        placed = [ca[:, None, None] + np.einsum("nmx,kyx->knmy", chain.positions, axes) for chain in chains]
        scores = [
            _DENSITY * self.at(positions).sum(-1) + np.log(chain.shares)
            for chain, positions in zip(chains, placed, strict=True)
        ]
        if not scores:
            return
        highest = np.max([score.max(1) for score in scores], axis=0)[:, None]
        likelihoods = [np.exp(score - highest) for score in scores]
        total = np.sum([likelihood.sum(1) for likelihood in likelihoods], axis=0)[:, None]
        for chain, positions, likelihood in zip(chains, placed, likelihoods, strict=True):
            yield chain, positions, likelihood / total
