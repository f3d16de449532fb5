"""What is handed from step to step on the way from voted backbones to a model."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.progress import ProgressCallback

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

#: The atoms of a voted backbone, in the order of axis 1 of `BackboneResidues.atoms`.
BACKBONE: tuple[str, ...] = ("N", "CA", "C", "O", "CB")
N, CA, C, O, CB = range(5)  # noqa: E741 (the atom's name)


@dataclass(frozen=True)
class MapFile:
    """A map as a file: the columns `f` and `phi` of an MTZ file, or a CCP4 map if they are empty."""

    path: Path
    f: str = ""
    phi: str = ""


@dataclass(frozen=True, eq=False)
class BackboneResidues:
    """The residues found in a map, each in any symmetry copy.

    Attributes
    ----------
    atoms
        shape (k, 5, 3): positions in Å of N, CA, C, O and CB (glycines have a virtual one).
    probabilities
        shape (k, 17): calibrated probabilities of the classes `edseg_engine.labels.LABELS`.
    confidence
        shape (k,): 0 to 1, that the residue exists and is where it is said to be.
    symmetry
        The symmetry copies of a position.
    next_ca, previous_ca
        shape (k, 3): where the CA of the next and of the previous residue is, in Å; None without votes for them.
    warnings
        Sentences on how the map was read.
    """

    atoms: FloatArray
    probabilities: FloatArray
    confidence: FloatArray
    symmetry: Symmetry
    next_ca: FloatArray | None = None
    previous_ca: FloatArray | None = None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.atoms)


#: Finds the residues of a map, with their backbones.
Segmenter = Callable[[DensityMap, ProgressCallback], BackboneResidues]


@dataclass(frozen=True, eq=False)
class Fragment:
    """A stretch of chain without a branch, in one place of the crystal.

    Attributes
    ----------
    residues
        shape (n,): index of each residue in `BackboneResidues`, from the N to the C terminus.
    atoms
        shape (n, 5, 3): N, CA, C, O, CB in Å: consecutive residues are neighbours in space.
    probabilities
        shape (n, 17): of the classes.
    confidence
        shape (n,): of the residues.
    """

    residues: IntArray
    atoms: FloatArray
    probabilities: FloatArray
    confidence: FloatArray

    def __len__(self) -> int:
        return len(self.residues)

    def part(self, first: int, last: int) -> Fragment:
        """Return the residues `first` to `last` - 1."""
        chosen = slice(first, last)
        return Fragment(self.residues[chosen], self.atoms[chosen], self.probabilities[chosen], self.confidence[chosen])


@dataclass(frozen=True, eq=False)
class Trace:
    """The chains as far as they are connected, longest first.

    Attributes
    ----------
    fragments
        Stretches of chain; a single residue may be one.
    symmetry
        The symmetry copies of a position.
    dropped
        Indices of residues that cannot exist, because a better one is in their place.
    """

    fragments: tuple[Fragment, ...]
    symmetry: Symmetry
    dropped: IntArray = field(default_factory=lambda: np.zeros(0, np.intp))

    @property
    def n_residues(self) -> int:
        return sum(map(len, self.fragments))


Address = tuple[str, int]


def stretches(numbers: Iterable[int]) -> list[list[int]]:
    """Return the runs of consecutive numbers in numbers that rise."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


@dataclass(frozen=True, eq=False)
class Model:
    """Chains as coordinates, named and numbered as the sequences are.

    Attributes
    ----------
    structure
        The atoms, with cell and space group.
    sequences
        One-letter code of each protein chain by its name; residue numbers count from 1 in it. Chains without one, such
        as waters, are no protein.
    probability
        By (chain, number): that the residue has this place in the sequence.
    alanines
        Names of the chains of what has no sure place in a sequence, see `edseg_engine.building.alanines`.
    """

    structure: gemmi.Structure
    sequences: Mapping[str, str]
    probability: Mapping[Address, float]
    alanines: frozenset[str] = frozenset()

    @property
    def residues(self) -> dict[Address, gemmi.Residue]:
        """The residues with a place in a sequence by (chain, number)."""
        return self._residues(self.sequences)

    @property
    def unplaced(self) -> dict[Address, gemmi.Residue]:
        """The residues without a sure place in a sequence by (chain, number)."""
        return self._residues(self.alanines)

    def _residues(self, chains: Container[str]) -> dict[Address, gemmi.Residue]:
        return {
            (chain.name, int(residue.seqid.num or 0)): residue
            for chain in self.structure[0]
            if chain.name in chains
            for residue in chain
        }
