"""Coordinate files: PDB and mmCIF, also compressed."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.errors import ModelFormatError
from edseg_engine.io.names import shown, utf8_path


def read_model(path: Path) -> gemmi.Structure:
    """Return the structure of a PDB or mmCIF file.

    Raises
    ------
    ModelFormatError
        If the file cannot be read or holds no atoms.
    """
    try:
        with utf8_path(path) as plain:
            structure = gemmi.read_structure(str(plain))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelFormatError(f"{shown(path)} cannot be read as PDB or mmCIF coordinates ({error}).") from error
    if not len(structure) or structure[0].count_atom_sites() == 0:
        raise ModelFormatError(f"{shown(path)} holds no atoms.")
    return structure


def ca_positions(structure: gemmi.Structure) -> NDArray[np.float64]:
    """Return the positions (n, 3) in Å of the CA atoms of the first model.

    Raises
    ------
    ModelFormatError
        If it has none.
    """
    found = [atom.pos.tolist() for chain in structure[0] for residue in chain for atom in residue if atom.name == "CA"]
    if not found:
        raise ModelFormatError("The partial model holds no protein: it has no CA atoms.")
    return np.array(found)
