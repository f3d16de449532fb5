"""Locate and label the residues of an electron density map, without model and sequence."""

__version__ = "0.1.0"
