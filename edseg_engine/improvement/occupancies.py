"""Occupancies of an expected model that the measured amplitudes ask for."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.phasing import Complex, Reflections, map_values, sigma_a_coefficients, unit
from edseg_engine.crystal.structure_factors import structure_factors

#: Density (electrons/Å³) and B-factor (Å²) of the bulk solvent. Less than there is: what the model lacks is no solvent.
_SOLVENT = (0.15, 45.0)
#: Density (electrons/Å³) at which atoms end.
_CUTOFF = 1e-3
#: Rounds in which occupancies change, each by this share for one standard deviation of the difference map ...
_ROUNDS, _GAIN = 6, 0.2
#: ... by these factors at most, and by this one in all.
_LEAST, _MOST, _MOST_IN_ALL = 0.7, 1.2, 1.5


def weighed(structure: gemmi.Structure, measured: Reflections) -> Complex:
    """Return the structure factors (n,) of an expected model, whose occupancies this makes follow the amplitudes.

    What lies in negative density of the mFo-DFc map loses occupancy, what lies in positive density gains some. So what
    is wrong, residues that do not exist and conformations that are not there, counts less in the phases.

    Parameters
    ----------
    structure
        See `edseg_engine.improvement.expected.expected_model`; its occupancies are changed in place. The main chain of
        a residue is one group of atoms, each conformation of its side chain, which begins with CB, another.
    measured
        Amplitudes (n,) of its crystal, whose phases are not used.
    """
    d_min = float(measured.inv_d2.max() ** -0.5)

    def f_of_model() -> Complex:
        return structure_factors(structure, d_min, *_SOLVENT, measured.miller, cutoff=_CUTOFF)[1]

    atoms = [atom for residue in structure[0][0] for atom in residue]
    group = np.cumsum([atom.name in ("N", "CB") for atom in atoms], dtype=np.intp) - 1
    positions = np.array([atom.pos.tolist() for atom in atoms]).reshape(-1, 3)
    electrons = np.array([atom.element.atomic_number for atom in atoms], np.float64)
    believed = np.array([atom.occ for atom in atoms], np.float64)
    of_group = np.bincount(group, electrons)
    factors = np.ones(len(of_group))
    for _ in range(_ROUNDS):
        difference = electrons * _difference_at(positions, structure.cell, measured, f_of_model())
        mean = np.bincount(group, difference, len(factors)) / of_group
        factors = np.minimum(factors * np.clip(1 + _GAIN * mean, _LEAST, _MOST), _MOST_IN_ALL)
        for atom, occupancy in zip(atoms, (believed * factors[group]).tolist(), strict=True):
            atom.occ = occupancy
    return f_of_model()


def _difference_at(
    positions: NDArray[np.float64], cell: gemmi.UnitCell, measured: Reflections, f_calc: Complex
) -> NDArray[np.float64]:
    """Return the mFo-DFc map of a model at positions (n, 3) in Å of its cell, in its standard deviations."""
    m, d = sigma_a_coefficients(measured.amplitudes, f_calc, measured.inv_d2)
    coefficients = (m * measured.amplitudes - d * np.abs(f_calc)) * unit(f_calc)
    values = map_values(cell, measured.spacegroup, measured.miller, coefficients)
    grid = gemmi.FloatGrid(values, cell, measured.spacegroup)
    return np.asarray(grid.interpolate_position_array(positions), np.float64) / max(float(values.std()), 1e-9)
