"""The model that a map is expected to be of: main chains, and each possible side chain as far as it is believed."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.improvement.side_chains import SideChainFit
from edseg_engine.inference.frames import CA, axes_of, with_frames
from edseg_engine.labels import BACKBONE

#: Classes less probable, and conformations that would get less occupancy, are left out.
_LEAST_PROBABILITY, _LEAST_OCCUPANCY = 0.03, 0.01
#: B-factor (Å²) of all atoms; what differs from it is a matter of the scale D in each resolution shell.
_B_FACTOR = 30.0
#: CB belongs to the side chain.
_MAIN_CHAIN = BACKBONE[:4]


@dataclass(frozen=True)
class ReadResidues:
    """What was read in a map: k residues of one asymmetric unit.

    Attributes
    ----------
    atoms
        shape (k, n, 3): positions in Å, the first four N, CA, C and O; NaN where unknown.
    probabilities
        shape (k, 17): of the classes.
    confidence
        shape (k,): that the residue is there and its most probable class right.
    """

    atoms: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.atoms)


def expected_model(density: DensityMap, read: ReadResidues) -> gemmi.Structure:
    """Return the model that the residues read in a map make probable, without those whose main chain is not known.

    Each class is there with its probability as occupancy, shared among its conformations as they fit the density.

    Parameters
    ----------
    density
        The map, of a whole cell, with its origin at zero.
    """
    structure, chain = gemmi.Structure(), gemmi.Chain("A")
    structure.cell, structure.spacegroup_hm = density.cell, density.spacegroup.xhm()
    known = with_frames(read.atoms)
    known = known[np.isfinite(read.atoms[known, : len(_MAIN_CHAIN)]).all((1, 2))]
    atoms, probabilities = read.atoms[known], read.probabilities[known]
    residues = [_main_chain(number + 1, xyz) for number, xyz in enumerate(atoms)]
    fit, axes = SideChainFit(density), axes_of(atoms)
    for label, probability in enumerate(probabilities.T):
        here = np.flatnonzero(probability >= _LEAST_PROBABILITY)
        for side_chain, positions, shares in fit.conformations(label, atoms[here, CA], axes[here]):
            occupancy = probability[here, None] * shares
            for i, n in zip(*np.nonzero(occupancy > _LEAST_OCCUPANCY), strict=True):
                for name, position in zip(side_chain.atoms, positions[i, n], strict=True):
                    residues[here[i]].add_atom(_atom(name, position, occupancy[i, n]))
    for residue in residues:
        chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_cell_images()
    return structure


def _main_chain(number: int, atoms: NDArray[np.float64]) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name, residue.seqid = "UNK", gemmi.SeqId(number, " ")
    for name, position in zip(_MAIN_CHAIN, atoms, strict=False):
        residue.add_atom(_atom(name, position, 1.0))
    return residue


def _atom(name: str, position: NDArray[np.float64], occupancy: float) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name, atom.element = name, gemmi.Element(name[0])
    atom.pos, atom.occ, atom.b_iso = gemmi.Position(*position.tolist()), float(occupancy), _B_FACTOR
    return atom
