"""Atoms of the main chain that follow from others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edseg_engine.building.links import handedness
from edseg_engine.building.records import CA, CB, C, FloatArray, Fragment, N, O

_CARBONYL = 1.23


def carbonyls(atoms: FloatArray) -> FloatArray:
    """Return residues (n, 5, 3) that follow each other, with O where it is missing (NaN): in the peptide's plane."""
    atoms = atoms.copy()
    for i in np.flatnonzero(np.isnan(atoms[:, O]).any(1)):
        to_ca = atoms[i, CA] - atoms[i, C]
        to_n = (atoms[i + 1, N] if i + 1 < len(atoms) else 2 * atoms[i, C] - atoms[i, N]) - atoms[i, C]
        away = -(to_ca / np.linalg.norm(to_ca) + to_n / np.linalg.norm(to_n))
        atoms[i, O] = atoms[i, C] + _CARBONYL * away / max(float(np.linalg.norm(away)), 1e-3)
    return atoms


def turned(fragment: Fragment) -> Fragment:
    """Return the fragment running the other way: N and C change places, O is put anew."""
    atoms = fragment.atoms[::-1][:, [C, CA, N, O, CB]].copy()
    atoms[:, O] = np.nan
    return replace(
        fragment,
        residues=fragment.residues[::-1],
        atoms=carbonyls(atoms),
        probabilities=fragment.probabilities[::-1],
        confidence=fragment.confidence[::-1],
    )


def direction(fragment: Fragment) -> float:
    """Return the log-odds that a fragment runs as its atoms say, by the hand of its residues."""
    return float(np.clip(handedness(fragment.atoms).sum(), -10, 10))
