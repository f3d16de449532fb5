"""The residues of a model of any program, named and numbered so that two models can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gemmi
import numpy as np

from edseg_engine.crystal.symmetry import FloatArray
from edseg_engine.labels import label_of_residue, type_of_residue
from edseg_engine.residues.conformers import atoms_by_name


@dataclass(frozen=True, eq=False)
class ProteinResidue:
    """A residue with a CA.

    Attributes
    ----------
    chain
        Name of its chain.
    number
        As the authors gave it; what has an insertion code counts.
    type
        Residue name; of a modified residue that of its parent (MET of MSE), ``"UNK"`` of an unknown one.
    atoms
        Positions (3,) in Å by name, without hydrogens; of alternative conformations the first.
    """

    chain: str
    number: int
    type: str
    atoms: Mapping[str, FloatArray]

    @property
    def ca(self) -> FloatArray:
        return self.atoms["CA"]

    @property
    def centroid(self) -> FloatArray:
        """Mean of the atoms, (3,) in Å."""
        return np.asarray(np.mean(list(self.atoms.values()), axis=0))

    @property
    def label(self) -> int | None:
        """Index of its class in `edseg_engine.labels.LABELS`; None if it is unknown."""
        return label_of_residue(self.type)

    def bonded_to(self, following: ProteinResidue, longest: float) -> bool:
        """Whether the C of this residue lies within `longest` Å of the N of another."""
        if "C" not in self.atoms or "N" not in following.atoms:
            return False
        return float(np.linalg.norm(self.atoms["C"] - following.atoms["N"])) < longest


def protein_residues(model: gemmi.Model) -> list[ProteinResidue]:
    """Return the residues of the chains of a model in its order.

    Ligands, free amino acids among them, waters, nucleic acids and hydrogens are left out.
    """
    found = []
    for chain in model:
        inserted, last = 0, None
        for order, residue in enumerate(chain.first_conformer()):
            parent = type_of_residue(residue.name)
            free = residue.entity_type == gemmi.EntityType.NonPolymer and residue.het_flag == "H"
            if parent is None or free:
                continue
            atoms: dict[str, FloatArray] = {
                "SD" if name == "SE" else name: np.array(atom.pos.tolist(), dtype=np.float64)
                for name, atom in atoms_by_name(residue).items()
            }
            if "CA" not in atoms:
                continue
            # What has an insertion code has no number of its own; it may come before what has the number.
            inserted += residue.seqid.icode != " " or residue.seqid.num == last
            last = residue.seqid.num
            author = (order if residue.seqid.num is None else int(residue.seqid.num)) + inserted
            found.append(ProteinResidue(chain.name, author, parent, atoms))
    return found
