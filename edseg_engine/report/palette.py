"""The colours of the residue classes, the same as in the PyMOL plugin: one hue of the Okabe-Ito palette a group."""

from __future__ import annotations

COLORS: dict[str, str] = {
    "ALA": "#8C8C8C", "GLY": "#C8C8C8", "ILE": "#00573F", "LEU": "#009E73", "PRO": "#CC79A7", "VAL/THR": "#5CCBA8",
    "PHE": "#E69F00", "TRP": "#A36F00", "TYR": "#FFC44D", "ASP/ASN": "#F0824A", "GLU/GLN": "#C24E00",
    "ARG": "#004B78", "HIS": "#4A97CC", "LYS": "#0072B2", "SER": "#8FD3FA", "CYS": "#F0E442", "MET": "#C9BC1E",
}  # fmt: skip
