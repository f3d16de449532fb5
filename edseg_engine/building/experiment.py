"""What is known of the phases before there is a model."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.records import MapFile
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Complex, Reflections, map_coefficients, unit, values_at
from edseg_engine.io.map_coefficients import centroids
from edseg_engine.io.mtz import map_columns, write_mtz
from edseg_engine.io.reflections import Amplitudes

#: Mean cosine of the difference of two sets of phases that are the same but for rounding and interpolation.
_SAME = 0.97


def experimental_phases(amplitudes: Amplitudes) -> Reflections | None:
    """Return the reflections that have experimental phases, with their centroids; None if the file has none."""
    if amplitudes.hl is None:
        return None
    known = np.isfinite(amplitudes.hl).all(1)
    if not known.any():
        return None
    hkl, spacegroup = amplitudes.miller[known], amplitudes.spacegroup
    phases = centroids(hkl, amplitudes.hl[known], spacegroup).astype(np.complex64)
    data = gemmi.ComplexAsuData(amplitudes.cell, spacegroup, hkl, phases)
    data.ensure_asu()
    values = values_at(data.miller_array, *amplitudes.in_asymmetric_unit(), 0)
    return Reflections(amplitudes.cell, spacegroup, data.miller_array, values, data.value_array)


def is_of_experiment(density: DensityMap, reflections: Reflections) -> bool:
    """Return whether a map has the experimental phases themselves, so that nobody has modified its density."""
    phases = unit(map_coefficients(density, reflections.miller))
    agreement = (phases * unit(reflections.centroids).conj()).real
    # A map may end before the experiment does.
    shared = (phases != 0) & (reflections.inv_d2 <= 1 / (density.d_min or 1e-3) ** 2 + 1e-6)
    weights = reflections.amplitudes * np.abs(reflections.centroids) * shared
    return bool(weights.sum() > 0 and np.average(agreement, weights=weights) > _SAME)


def write_map(reflections: Reflections, coefficients: Complex, path: Path) -> MapFile:
    """Write map coefficients (n,) of reflections and return where they are."""
    write_mtz(path, reflections.cell, reflections.spacegroup, reflections.miller, map_columns(coefficients))
    return MapFile(path, "FWT", "PHWT")
