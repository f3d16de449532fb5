"""The residue classes: 17 amino-acid labels and the background (thesis, section 4.4).

ASP/ASN, GLU/GLN and VAL/THR have nearly the same density at 2 Å and share a class each.
"""

from __future__ import annotations

from functools import cache

import gemmi

LABELS: tuple[str, ...] = (
    "ALA", "GLY", "ILE", "LEU", "PRO", "VAL/THR", "PHE", "TRP", "TYR",
    "ASP/ASN", "GLU/GLN", "ARG", "HIS", "LYS", "SER", "CYS", "MET",
)  # fmt: skip
N_LABELS = len(LABELS)
#: Index of the background class in S(X).
BACKGROUND = N_LABELS
N_CLASSES = N_LABELS + 1

#: Points of a residue that its voxels vote for: its centroid, its backbone with CB (virtual for GLY), and the CA of its
#: neighbours in the chain.
POINTS: tuple[str, ...] = ("centroid", "N", "CA", "C", "O", "CB", "next CA", "previous CA")
N_POINTS = len(POINTS)
#: Those beside the centroid, and which of them are the residue's own.
ATOMS = POINTS[1:]
BACKBONE = ATOMS[:5]

#: Residue name of each label in coordinate files. ASX and GLX are the standard ambiguous codes;
#: none exists for VAL/THR, which is written as VAL.
PDB_NAMES: tuple[str, ...] = tuple(
    {"VAL/THR": "VAL", "ASP/ASN": "ASX", "GLU/GLN": "GLX"}.get(label, label) for label in LABELS
)

#: The twenty amino acids.
TYPES: tuple[str, ...] = tuple(
    gemmi.expand_one_letter(letter, gemmi.ResidueKind.AA) or "" for letter in "ARNDCQEGHILKMFPSTWYV"
)

_LABEL_OF_RESIDUE = {name: i for i, label in enumerate(LABELS) for name in label.split("/")}
_LABEL_OF_RESIDUE |= {"ASX": LABELS.index("ASP/ASN"), "GLX": LABELS.index("GLU/GLN")}


@cache
def label_of_residue(name: str) -> int | None:
    """Return the class index of a residue name, or None if it is no amino acid with a class.

    Modified residues (MSE, SEP, ...) take the class of their parent.
    """
    name = name.strip().upper()
    if name in _LABEL_OF_RESIDUE:
        return _LABEL_OF_RESIDUE[name]
    info = gemmi.find_tabulated_residue(name)
    if not info.is_amino_acid() or info.one_letter_code in " X":
        return None
    return label_of_letter(info.one_letter_code)


@cache
def type_of_residue(name: str) -> str | None:
    """Return the residue name of the amino acid that one of this name is or derives from (MET of MSE).

    ``"UNK"`` stands for an amino acid that is unknown or has no parent. None is returned for what is no amino acid.
    """
    info = gemmi.find_tabulated_residue(name)
    if name != "UNK" and not info.is_amino_acid():
        return None
    return gemmi.expand_one_letter(info.one_letter_code.upper(), gemmi.ResidueKind.AA) or "UNK"


@cache
def label_of_letter(letter: str) -> int | None:
    """Return the class index of a one-letter code (B and Z included), or None."""
    name = {"B": "ASX", "Z": "GLX"}.get(letter.upper())
    name = name or gemmi.expand_one_letter(letter.upper(), gemmi.ResidueKind.AA)
    return _LABEL_OF_RESIDUE.get(name) if name else None
