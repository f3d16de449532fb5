"""Coordinate files: PDB and mmCIF, also compressed."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.errors import ModelFormatError
from edseg_engine.io.files import opened, read_text
from edseg_engine.io.names import shown

_LARGEST = 1 << 30
#: What is not ASCII becomes a question mark: gemmi gives names as UTF-8, which old files are not.
_IN_ASCII = bytes(range(128)) + b"?" * 128


def read_model(path: Path) -> gemmi.Structure:
    """Return the structure of a PDB or mmCIF file, named as the file is.

    Raises
    ------
    ModelFormatError
        If the file cannot be read, or holds no atoms or some without a place.
    DeviceError
        If there is not enough memory.
    """
    with opened(path, ModelFormatError) as file:
        text = read_text(file, _LARGEST, shown(path), ModelFormatError)
    try:
        structure = gemmi.read_structure_string(text.translate(_IN_ASCII), format=gemmi.CoorFormat.Detect)
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())  # gemmi shows the line as well
        raise ModelFormatError(f"{shown(path)} cannot be read as PDB or mmCIF coordinates ({said}).") from error
    if not len(structure) or structure[0].count_atom_sites() == 0:
        raise ModelFormatError(f"{shown(path)} holds no atoms.")
    if not np.isfinite([site.atom.pos.tolist() for site in structure[0].all()]).all():
        raise ModelFormatError(f"{shown(path)} is damaged: the coordinates of some atoms are not numbers.")
    structure.name = shown(path.name.removesuffix(".gz").rsplit(".", 1)[0])
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
