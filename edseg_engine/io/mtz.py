"""MTZ files that the engine writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Complex, Millers, phase_terms

#: The MTZ type of a column ("F" amplitude, "P" phase in degrees, "A" Hendrickson-Lattman, ...) and its values (n,).
Column = tuple[str, NDArray[np.generic]]


def map_columns(coefficients: Complex) -> dict[str, Column]:
    """Return FWT and PHWT of map coefficients (n,)."""
    return {"FWT": ("F", np.abs(coefficients)), "PHWT": ("P", np.degrees(np.angle(coefficients)))}


def hl_columns(centroids: Complex) -> dict[str, Column]:
    """Return HLA, HLB, HLC and HLD of phase centroids (n,), as one peak each: the last two are 0."""
    terms = phase_terms(centroids)
    nothing = np.zeros(len(terms))
    return {"HLA": ("A", terms.real), "HLB": ("A", terms.imag), "HLC": ("A", nothing), "HLD": ("A", nothing)}


def write_mtz(
    path: Path, cell: gemmi.UnitCell, spacegroup: gemmi.SpaceGroup, miller: Millers, columns: Mapping[str, Column]
) -> None:
    """Write reflections, moved to the asymmetric unit and sorted.

    Parameters
    ----------
    cell, spacegroup
        Of the crystal.
    miller
        int32, shape (n, 3).
    columns
        By their labels; NaN where a value is missing.
    """
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = spacegroup
    mtz.set_cell_for_all(cell)
    mtz.add_dataset("edseg")
    for label, (kind, _) in columns.items():
        mtz.add_column(label, kind)
    mtz.set_data(np.stack([*miller.T, *(values for _, values in columns.values())], 1).astype(np.float32))
    mtz.ensure_asu()
    mtz.sort()
    mtz.write_to_file(str(path))


def write_map_mtz(density: DensityMap, path: Path) -> None:
    """Write a map of a whole cell as FWT and PHWT to its resolution."""
    grid = gemmi.FloatGrid(density.values, density.cell, density.spacegroup)
    # Reflections at the limit itself belong to the map.
    data = gemmi.transform_map_to_f_phi(grid, half_l=True).prepare_asu_data(dmin=0.9999 * float(density.d_min or 0.0))
    write_mtz(path, density.cell, density.spacegroup, data.miller_array, map_columns(data.value_array))
