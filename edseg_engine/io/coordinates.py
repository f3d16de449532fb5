"""Coordinate files: PDB and mmCIF, also compressed."""

from __future__ import annotations

from pathlib import Path

import gemmi

from edseg_engine.errors import ModelFormatError


def read_model(path: Path) -> gemmi.Structure:
    """Return the structure of a PDB or mmCIF file.

    Raises
    ------
    ModelFormatError
        If the file cannot be read or holds no atoms.
    """
    try:
        structure = gemmi.read_structure(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read as PDB or mmCIF coordinates ({error}).") from error
    if not len(structure) or structure[0].count_atom_sites() == 0:
        raise ModelFormatError(f"{path} holds no atoms.")
    return structure
