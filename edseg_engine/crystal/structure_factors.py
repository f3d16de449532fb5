"""Structure factors of a model: atoms and bulk solvent."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.phasing import Complex


def structure_factors(
    structure: gemmi.Structure,
    d_min: float,
    k_sol: float,
    b_sol: float,
    miller: NDArray[np.int32] | None = None,
    electrons: bool = False,
    cutoff: float = 1e-5,
) -> tuple[NDArray[np.int32], Complex]:
    """Return Miller indices (n, 3) and the total structure factors (n,) of a crystal.

    Parameters
    ----------
    k_sol, b_sol
        Density (electrons/Å³; Å/Å³ of scattering length if `electrons`) and B-factor (Å²) of the bulk solvent.
    miller
        int32, shape (n, 3): the reflections wanted; None takes all of the asymmetric unit to `d_min` Å.
    electrons
        Scatter electrons instead of X-rays, by the form factors of International Tables C, 4.3.2.2.
    cutoff
        Density at which an atom ends, in the units of `k_sol`: 1e-3 electrons/Å³ is faster and errs by 0.1 %.
    """
    calculator = gemmi.DensityCalculatorE() if electrons else gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate, calculator.cutoff = d_min, 1.5, cutoff
    calculator.set_grid_cell_and_spacegroup(structure)
    calculator.put_model_density_on_grid(structure[0])
    mask = gemmi.FloatGrid(*calculator.grid.shape)
    mask.set_unit_cell(structure.cell)
    mask.spacegroup = calculator.grid.spacegroup
    put_solvent_mask(mask, structure)
    atoms, solvent = (gemmi.transform_map_to_f_phi(grid, half_l=True) for grid in (calculator.grid, mask))
    if miller is None:
        data = atoms.prepare_asu_data(dmin=d_min, unblur=calculator.blur)
        miller, of_atoms = data.miller_array, data.value_array
        inv_d2, of_solvent = data.make_1_d2_array(), solvent.prepare_asu_data(dmin=d_min).value_array
    else:
        of_atoms = atoms.get_value_by_hkl(miller, unblur=calculator.blur)
        of_solvent = solvent.get_value_by_hkl(miller)
        inv_d2 = gemmi.ComplexAsuData(structure.cell, mask.spacegroup, miller, of_solvent).make_1_d2_array()
    k = k_sol * np.exp(-b_sol * inv_d2 / 4)
    return miller, (of_atoms + k * of_solvent).astype(np.complex64)


def put_solvent_mask(grid: gemmi.FloatGrid, structure: gemmi.Structure) -> None:
    """Set a grid, which has the cell and the space group of a model, to 1 in the model's solvent and to 0 elsewhere."""
    gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx).put_mask_on_float_grid(grid, structure[0])
