"""Phases and what they are worth: figures of merit, their combination, sigmaA weights and solvent flipping.

A phase is known as a distribution over the circle, ``exp(A cos φ + B sin φ)`` (Hendrickson & Lattman, 1970, Acta Cryst.
B26, 136, without the terms of twice the angle). Its centroid is a complex number: the best phase, as long as the figure
of merit. Arrays of reflections have shape (n,) and belong to Miller indices (n, 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import i0e, i1e

from edseg_engine.crystal.density_map import DensityMap

Complex = NDArray[np.complex64]
Floats = NDArray[np.float64]
Millers = NDArray[np.int32]
Value = TypeVar("Value", bound=np.generic)

#: Grid points per d_min of maps that are modified and transformed back.
SAMPLE_RATE = 2.5
#: The same of maps that are read: enough for cubic interpolation.
_MAP_SAMPLE_RATE = 3.0
#: Å over which the fluctuation of the density is averaged to tell protein from solvent (Leslie, 1987).
_AVERAGING = 3.0
#: Factor by which solvent fluctuations are multiplied (Abrahams & Leslie, 1996, Acta Cryst. D52, 30).
_FLIP = -0.9
#: Density beyond this many standard deviations is cut before it is transformed back.
_CEILING = 5.0
#: Times that the solvent of a map is flattened.
_TIMES = 3
#: How much the phases of a modified map count: it still holds the amplitudes and much of the phases it was made of.
_DEPENDENT = 0.5
#: Volume (Å³) of a residue in a crystal.
RESIDUE_VOLUME = 135.0
#: The solvent is not flattened where there is less of it than this; and no more than this is.
_LEAST_SOLVENT, _MOST_SOLVENT = 0.2, 0.75
#: Reflections of a resolution shell.
_PER_SHELL = 400

_CONCENTRATIONS = np.concatenate([np.linspace(0, 4, 161), np.geomspace(4.05, 500, 120)])
_FIGURES = i1e(_CONCENTRATIONS) / i0e(_CONCENTRATIONS)


@dataclass(frozen=True)
class Reflections:
    """Amplitudes of one asymmetric unit and the centroids of their phases.

    Attributes
    ----------
    cell, spacegroup
        Of the crystal.
    miller
        int32, shape (n, 3).
    amplitudes
        float32, shape (n,).
    centroids
        complex64, shape (n,): figure of merit times ``exp(i φ)``.
    """

    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    miller: Millers
    amplitudes: NDArray[np.float32]
    centroids: Complex

    @property
    def inv_d2(self) -> Floats:
        """1/d² (Å⁻²) of each reflection."""
        return reciprocal_lengths(self.cell, self.spacegroup, self.miller)


def reciprocal_lengths(cell: gemmi.UnitCell, spacegroup: gemmi.SpaceGroup, miller: Millers) -> Floats:
    """Return 1/d² (Å⁻²) of reflections (n, 3)."""
    nothing = np.zeros(len(miller), np.complex64)
    return gemmi.ComplexAsuData(cell, spacegroup, miller, nothing).make_1_d2_array().astype(np.float64)


def values_at(wanted: Millers, known: Millers, values: NDArray[Value], missing: complex) -> NDArray[Value]:
    """Return values of the reflections `wanted` (m, 3), given `values` (n,) of those `known` (n, 3).

    Parameters
    ----------
    missing
        What stands for the value of a reflection that is not known.
    """
    result = np.full(len(wanted), missing, values.dtype)
    if len(known):
        known_codes, codes = _codes(known), _codes(wanted)
        order = np.argsort(known_codes)
        index = order[np.minimum(np.searchsorted(known_codes, codes, sorter=order), len(known) - 1)]
        found = known_codes[index] == codes
        result[found] = values[index[found]]
    return result


def _codes(miller: Millers) -> NDArray[np.int64]:
    """Return one number for each reflection (n, 3)."""
    return np.asarray((miller.astype(np.int64) + 2**15) @ np.array([2**32, 2**16, 1]))


def figure_of_merit(concentration: Floats) -> Floats:
    """Return I1(X)/I0(X), the mean cosine of phase errors of concentration X."""
    return np.asarray(i1e(concentration) / i0e(concentration))


def concentration(merit: Floats) -> Floats:
    """Return X such that ``figure_of_merit(X)`` is `merit` (0 to 1)."""
    return np.asarray(np.interp(merit, _FIGURES, _CONCENTRATIONS))


def phase_terms(centroids: Complex) -> NDArray[np.complex128]:
    """Return A + iB (n,) of the phase distributions with these centroids (n,)."""
    merit = np.abs(centroids).astype(np.float64)
    return np.asarray(concentration(merit) * centroids / np.maximum(merit, 1e-9))


def combined(first: Complex, second: Complex, weight: float = 1.0) -> Complex:
    """Return the centroids of the product of two phase distributions given by their centroids (n,).

    Parameters
    ----------
    weight
        Exponent of the second distribution: less than one where it is not independent of the first.
    """
    total = phase_terms(first) + weight * phase_terms(second)
    strength = np.abs(total)
    return (figure_of_merit(strength) * total / np.maximum(strength, 1e-9)).astype(np.complex64)


def resolution_shells(inv_d2: Floats) -> list[NDArray[np.intp]]:
    """Return the indices of the reflections in each shell, which are about as many in all of them."""
    return np.array_split(np.argsort(inv_d2), max(1, len(inv_d2) // _PER_SHELL))


def sigma_a_coefficients(f_obs: NDArray[np.float32], f_calc: Complex, inv_d2: Floats) -> tuple[Floats, Floats]:
    """Return the figure of merit m and the scale D of each reflection, estimated in resolution shells.

    The shell's D and error variance come from the moments of |Fo|² and |Fc|² (Read 1986), so phases are never looked
    at.
    """
    m, d = np.ones(len(f_obs)), np.ones(len(f_obs))
    amplitude = np.abs(f_calc).astype(np.float64)
    for shell in resolution_shells(inv_d2):
        fo2, fc2 = f_obs[shell].astype(np.float64) ** 2, amplitude[shell] ** 2
        covariance = np.cov(fo2, fc2)
        correlation = covariance[0, 1] / max(np.sqrt(covariance[0, 0] * covariance[1, 1]), 1e-9)
        sigma_a = np.sqrt(np.clip(correlation, 0.0025, 0.995))
        d[shell] = sigma_a * np.sqrt(fo2.mean() / max(fc2.mean(), 1e-9))
        variance = max((1 - sigma_a**2) * fo2.mean(), 1e-9)
        x = 2 * f_obs[shell] * d[shell] * amplitude[shell] / variance
        m[shell] = i1e(x) / i0e(x)
    return m, d


def model_phased(f_obs: NDArray[np.float32], f_calc: Complex, inv_d2: Floats) -> Complex:
    """Return sigmaA-weighted 2mFo-DFc coefficients (n,) of amplitudes with the phases of a model (Read, 1986)."""
    m, d = sigma_a_coefficients(f_obs, f_calc, inv_d2)
    amplitudes = 2 * m * f_obs - d * np.abs(f_calc)  # negative ones turn the phase
    return (amplitudes * unit(f_calc)).astype(np.complex64)


def as_strong(coefficients: Complex, others: Complex) -> Complex:
    """Return coefficients (n,) scaled to the power of others (n,): files scale their maps in many ways."""
    power, wanted = (float((np.abs(values).astype(np.float64) ** 2).sum()) for values in (coefficients, others))
    return (coefficients * np.sqrt(wanted / max(power, 1e-30))).astype(np.complex64)


def map_values(
    cell: gemmi.UnitCell, spacegroup: gemmi.SpaceGroup, miller: Millers, coefficients: Complex
) -> NDArray[np.float32]:
    """Return the map of a whole cell, shape (nu, nv, nw), of Fourier coefficients (n,) of reflections (n, 3)."""
    data = gemmi.ComplexAsuData(cell, spacegroup, miller, coefficients.astype(np.complex64))
    return np.ascontiguousarray(data.transform_f_phi_to_map(sample_rate=_MAP_SAMPLE_RATE).array, dtype=np.float32)


def map_coefficients(density: DensityMap, miller: Millers) -> Complex:
    """Return the Fourier coefficients (n,) of a map of the whole cell at reflections (n, 3).

    Those that are too fine for its grid are zero.
    """
    grid = gemmi.FloatGrid(density.values, density.cell, density.spacegroup)
    known = (2 * np.abs(miller) < density.values.shape).all(1)
    coefficients = np.zeros(len(miller), np.complex64)
    coefficients[known] = gemmi.transform_map_to_f_phi(grid, half_l=True).get_value_by_hkl(miller[known])
    return coefficients


def unit(values: Complex) -> Complex:
    """Return complex numbers of length one with the phases of those given."""
    return np.asarray(values / np.maximum(np.abs(values), 1e-9), np.complex64)


def solvent_mask(grid: gemmi.FloatGrid, solvent: float) -> NDArray[np.bool_]:
    """Return where a map, shape (nu, nv, nw), is solvent: the fraction `solvent` of it whose density varies least."""
    values = grid.array - grid.array.mean()
    lengths = grid.unit_cell.parameters[:3]
    sigma = [_AVERAGING / 2 * n / length for n, length in zip(values.shape, lengths, strict=True)]
    smooth = np.ascontiguousarray(ndimage.gaussian_filter(values * values, sigma, mode="wrap"), np.float32)
    variation = gemmi.FloatGrid(smooth, grid.unit_cell, grid.spacegroup)
    variation.symmetrize_avg()  # axes that are not at right angles make the filter another than its mates
    return np.asarray(variation.array < np.quantile(variation.array, solvent))


def with_solvent_flipped(reflections: Reflections, coefficients: Complex, solvent: float) -> Complex:
    """Return the Fourier coefficients (n,) of the map of those given, with its solvent flipped and high peaks cut.

    Parameters
    ----------
    solvent
        Fraction of the cell that is solvent.
    """
    cell, spacegroup, miller = reflections.cell, reflections.spacegroup, reflections.miller
    data = gemmi.ComplexAsuData(cell, spacegroup, miller, coefficients.astype(np.complex64))
    grid = data.transform_f_phi_to_map(sample_rate=SAMPLE_RATE)
    values = grid.array
    outside = solvent_mask(grid, solvent)
    level = float(values[outside].mean())
    ceiling = _CEILING * float(values.std())
    modified = np.clip(values, None, ceiling)
    modified[outside] = level + _FLIP * (modified[outside] - level)
    values[...] = modified
    return np.asarray(gemmi.transform_map_to_f_phi(grid, half_l=True).get_value_by_hkl(miller))


def density_modified(reflections: Reflections, solvent: float, cycles: int = 6) -> Complex:
    """Return better phase centroids (n,): those given, combined with those of the map whose solvent is flipped.

    Parameters
    ----------
    solvent
        Fraction of the cell that is solvent.
    """
    inv_d2 = reflections.inv_d2
    centroids = reflections.centroids
    for _ in range(cycles):
        f_modified = with_solvent_flipped(reflections, reflections.amplitudes * centroids, solvent)
        m, _ = sigma_a_coefficients(reflections.amplitudes, f_modified, inv_d2)
        of_map = (np.clip(m, 0, 0.95) * unit(f_modified)).astype(np.complex64)
        centroids = combined(reflections.centroids, of_map, _DEPENDENT)
    return centroids


def with_flat_solvent(reflections: Reflections, residues: int) -> Reflections:
    """Return the reflections with phases of which the solvent is flat, if a crystal of so many residues has enough."""
    solvent = _solvent_to_flatten(reflections, residues)
    return replace(reflections, centroids=density_modified(reflections, solvent)) if solvent else reflections


def with_flatter_solvent(reflections: Reflections, coefficients: Complex, residues: int, share: float) -> Complex:
    """Return the coefficients (n,) of a map with a flatter solvent, if a crystal of so many residues has enough.

    A share of them is 2mFo-DFc with the phases that the map has when its solvent is flipped. This is done three times,
    the last two with the result in place of the map.

    Parameters
    ----------
    reflections
        What was measured; its phases are not used.
    coefficients
        shape (n,): of the map.
    residues
        How many there are in an asymmetric unit.
    share
        Of the map with the solvent's phases, from 0 to 1.
    """
    solvent, flatter = _solvent_to_flatten(reflections, residues), coefficients
    for _ in range(_TIMES if solvent else 0):
        f_flat = with_solvent_flipped(reflections, flatter, solvent)
        flat = as_strong(model_phased(reflections.amplitudes, f_flat, reflections.inv_d2), coefficients)
        flatter = (1 - share) * coefficients + share * flat
    return flatter


def _solvent_to_flatten(reflections: Reflections, residues: int) -> float:
    """Return the fraction of a crystal, of so many residues in an asymmetric unit, whose density may be flattened.

    It is zero where there is too little solvent, and limited, for not all residues may have been found.
    """
    cell, operations = reflections.cell, reflections.spacegroup.operations()
    solvent = 1 - residues * RESIDUE_VOLUME * len(operations) / cell.volume
    return min(float(solvent), _MOST_SOLVENT) if solvent >= _LEAST_SOLVENT else 0.0
