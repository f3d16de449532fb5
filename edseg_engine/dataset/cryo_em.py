"""Simulated maps of single particles, as cryo-EM shows them.

What differs from a crystal's map: electrons are scattered by the potential, in which negative charges are weak; there
is no lattice, and solvent is often masked away; amplitudes are sharpened until noise shows, which grows with the
resolution as the Fourier shell correlation says (Rosenthal & Henderson, 2003, J. Mol. Biol. 333, 721); and molecules
are known worse the further from some place in them.
"""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import Complex, Floats, map_values, reciprocal_lengths, resolution_shells
from edseg_engine.crystal.structure_factors import put_solvent_mask, structure_factors
from edseg_engine.dataset.simulate import put_in_box, rescale_b
from edseg_engine.errors import ModelFormatError

#: Oxygens of carboxylates, which are charged and are the first to be lost to radiation.
_CARBOXYLATES = {"ASP": ("OD1", "OD2"), "GLU": ("OE1", "OE2")}
#: Ratio of signal and noise in the shell of the resolution limit: where half maps correlate by 0.143.
_RATIO_AT_LIMIT = 1 / 3


def simulate_cryo_em(structure: gemmi.Structure, d_min: float, rng: np.random.Generator) -> DensityMap:
    """Return the map of a particle of `structure`, whose Fourier shell correlation falls to 0.143 at `d_min` Å.

    The map is that of a box, which does not repeat; the correlation is that in a mask. The structure is put into the
    box in place, its waters are removed, and its B-factors are changed.

    Raises
    ------
    ModelFormatError
        If the structure has no atoms.
    """
    structure.remove_waters()
    structure.remove_empty_chains()
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise ModelFormatError(f"{structure.name} has no atoms to simulate a map from.")
    put_in_box(structure, rng, (6.0, 30.0))
    cell, spacegroup = structure.cell, structure.find_spacegroup()
    mean_b = rng.uniform(10.0, 30.0) * (d_min / 2.0) ** 1.8
    rescale_b(structure[0], mean_b, rng.uniform(0.25, 0.65))
    _loosen(structure[0], rng.uniform(0.0, 2.0) * mean_b, rng)
    solvent, b_solvent = rng.uniform(0.05, 0.11), rng.uniform(35, 70)
    miller, signal = structure_factors(_weakly_charged(structure, rng), d_min, solvent, b_solvent, electrons=True)
    inv_d2 = reciprocal_lengths(cell, spacegroup, miller)
    mask = _mask(structure, map_values(cell, spacegroup, miller, signal).shape, rng.uniform(3.0, 8.0))
    fall = rng.uniform(90.0, 160.0) * (d_min / 3.0) ** 2
    coefficients = _sharpened(_with_noise(signal, inv_d2, fall, float(mask.mean()), rng), inv_d2, rng)
    values = map_values(cell, spacegroup, miller, coefficients)
    if rng.random() < 0.5:
        values *= mask
    grid = MapGrid(cell, spacegroup, values.shape)
    source = {"simulated": structure.name, "d_min": d_min}
    return DensityMap(values, grid, d_min=d_min, periodic=False, source=source)


def _loosen(model: gemmi.Model, most: float, rng: np.random.Generator) -> None:
    """Add up to `most` Å² to the B-factors, the more the further from one of the atoms, in place."""
    atoms = [site.atom for site in model.all()]
    xyz = np.array([atom.pos.tolist() for atom in atoms])
    distance = np.linalg.norm(xyz - xyz[rng.integers(len(xyz))], axis=1)
    for atom, relative in zip(atoms, distance / max(distance.max(), 1e-6), strict=True):
        atom.b_iso = float(atom.b_iso + most * relative**2)


def _weakly_charged(structure: gemmi.Structure, rng: np.random.Generator) -> gemmi.Structure:
    """Return a copy whose carboxylates have lost a part of their oxygens, as a whole and each by itself."""
    copy, left = structure.clone(), rng.uniform(0.0, 1.0)
    for chain in copy[0]:
        for residue in chain:
            for name in _CARBOXYLATES.get(residue.name, ()):
                atom = residue.find_atom(name, "*")
                if atom is not None:
                    atom.occ *= float(np.clip(left + rng.normal(0, 0.2), 0.0, 1.0))
    return copy


def _with_noise(signal: Complex, inv_d2: Floats, fall: float, inside: float, rng: np.random.Generator) -> Complex:
    """Return the mean of two half maps, weighted by how well they agree.

    The ratio of the powers of signal and noise falls to the resolution limit as by a B-factor `fall` (Å²). It is the
    one in a mask, the fraction `inside` of the box, which holds all of the signal and that part of the noise.
    """
    ratio = _RATIO_AT_LIMIT * np.exp(fall / 2 * (inv_d2.max() - inv_d2))
    noise = rng.normal(size=len(signal)) + 1j * rng.normal(size=len(signal))
    noise *= _typical(signal, inv_d2) / np.sqrt(2 * ratio * inside)
    half = ratio / (2 + ratio)
    return np.asarray(np.sqrt(2 * half / (1 + half)) * (signal + noise), np.complex64)


def _typical(coefficients: Complex, inv_d2: Floats) -> Floats:
    """Return the root mean square amplitude (n,) in the resolution shell of each coefficient."""
    amplitude = np.zeros(len(coefficients))
    for shell in resolution_shells(inv_d2):
        amplitude[shell] = np.sqrt((np.abs(coefficients[shell]) ** 2).mean())
    return amplitude


def _sharpened(coefficients: Complex, inv_d2: Floats, rng: np.random.Generator) -> Complex:
    """Return coefficients that fall as those of a B-factor near zero, or of a larger one where a user was careful."""
    amplitude = _typical(coefficients, inv_d2)
    fine = inv_d2 > 0.01  # below 10 Å the shape of the particle rules
    slope = np.polyfit(inv_d2[fine], np.log(np.maximum(amplitude[fine], 1e-9)), 1)[0]
    return np.asarray(coefficients * np.exp(-rng.uniform(0.4, 1.1) * slope * inv_d2), np.complex64)


def _mask(structure: gemmi.Structure, shape: tuple[int, ...], radius: float) -> NDArray[np.float32]:
    """Return a mask, shape (nu, nv, nw), of what lies within `radius` Å of the molecule, with an edge of 3 Å."""
    grid = gemmi.FloatGrid(*shape)
    grid.set_unit_cell(structure.cell)
    grid.spacegroup = structure.find_spacegroup()
    put_solvent_mask(grid, structure)
    lengths = structure.cell.parameters[:3]
    spacing = [length / n for length, n in zip(lengths, shape, strict=True)]
    distance = ndimage.distance_transform_edt(grid.array > 0.5, sampling=spacing)
    return np.asarray(np.clip(1 - (distance - radius) / 3, 0, 1), np.float32)
