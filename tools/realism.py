"""Are simulated maps as bad as real ones? The correlation of maps with the density of their models, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.structure_factors import structure_factors
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.labels import label_of_residue

#: Bulk solvent of the model density, as refinement programs find it on average (Fokine & Urzhumtsev, 2002).
K_SOL, B_SOL = 0.35, 46.0
#: Of the structures to simulate every fourth is used: enough residues for the second decimal.
EVERY = 4
#: Those beside measured crystals have fewer atoms than this.
_LARGEST_MODEL = 6000


@dataclass(frozen=True)
class Quality:
    """How well a model sits in a map.

    Attributes
    ----------
    correlation
        Of the map with the density of model and bulk solvent, over the whole cell.
    outer_correlation
        The same of the outer half of the reflections (by number) alone.
    side_chain
        Density at the ends of side chains (beyond CB) over density at CA, each over the mean of the cell.
    """

    correlation: float
    outer_correlation: float
    side_chain: float


def map_quality(density: DensityMap, structure: gemmi.Structure) -> Quality:
    """Compare a map of a whole cell, whose `d_min` is known, with the structure that is in it."""
    d_min = density.d_min or 0.0
    grid = gemmi.FloatGrid(density.values, density.cell, density.spacegroup)
    data = gemmi.transform_map_to_f_phi(grid, half_l=True).prepare_asu_data(dmin=d_min)
    crystal = structure.clone()
    crystal.cell, crystal.spacegroup_hm = density.cell, density.spacegroup.xhm()
    miller, f_calc = structure_factors(crystal, d_min, K_SOL, B_SOL)
    place = {tuple(hkl): i for i, hkl in enumerate(miller.tolist())}
    index = np.array([place.get(tuple(hkl), -1) for hkl in data.miller_array.tolist()])
    both = (index >= 0) & np.isfinite(data.value_array)
    f_map, f_model = data.value_array[both], f_calc[index[both]]
    inv_d2 = data.make_1_d2_array()[both]
    outer = inv_d2 > np.median(inv_d2)
    protein = (site for site in structure[0].all() if label_of_residue(site.residue.name) is not None)
    names = [(site.atom.name, site.atom.pos.tolist()) for site in protein]
    mean = density.values.mean()

    def height(chosen: list[list[float]]) -> float:
        return float(np.mean([density.sample(xyz, None, (1, 1, 1), 1.0)[0, 0, 0] for xyz in chosen]) - mean)

    alpha = [xyz for name, xyz in names if name == "CA"][:400]
    ends = [xyz for name, xyz in names if name not in ("N", "CA", "C", "O", "CB", "OXT") and name[0] in "CNOS"][:1200]
    side_chain = height(ends) / height(alpha) if alpha and ends else float("nan")
    return Quality(correlation_of(f_map, f_model), correlation_of(f_map[outer], f_model[outer]), side_chain)


def correlation_of(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> float:
    """Return the correlation of two maps with these Fourier coefficients (n,)."""
    norm = np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
    return float((a * b.conj()).real.sum() / norm)


def crystals_to_simulate(structures: Path) -> list[gemmi.Structure]:
    """Return the crystals of the split `val` that stand beside measured ones."""
    return [
        pack[i]
        for pack in structures_of_split(structures, "val")
        for i in range(0, len(pack), EVERY)
        if pack.is_crystal[i] and pack.n_atoms[i] < _LARGEST_MODEL
    ]


def means_and_deviations(values: Sequence[NDArray[np.float64]]) -> list[str]:
    """Return the mean and the standard deviation of each of m figures over maps, n times (m,), for a table."""
    mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, deviation, strict=True)]
