"""Simulated crystals: maps of known structures as a refinement program would show them.

A map of a deposited model at some resolution (the thesis's data, 4.1) is too good: it lacks the crystal around the
molecule, the solvent, and above all the phase errors. Here the structure with all its waters and ligands, in its own
cell with all symmetry copies and bulk solvent, scatters as the truth. Its amplitudes get noise and gaps. The phases
come from a disturbed copy of the model, and the map is the sigmaA-weighted 2mFo-DFc synthesis (Read, 1986, Acta
Cryst. A42, 140) whose m and D are estimated in resolution shells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import Reflections, map_values, reciprocal_lengths, sigma_a_coefficients
from edseg_engine.crystal.structure_factors import structure_factors
from edseg_engine.dataset.phases import REFINED, PhaseQuality, cut_to_main_chain, initial_coefficients, moved
from edseg_engine.errors import ModelFormatError, OptionError
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.labels import label_of_residue


@dataclass(frozen=True)
class SimulationOptions:
    """How harsh a simulated crystal is. Ranges are uniform; every crystal draws its own values.

    Attributes
    ----------
    coordinate_error
        Root mean square error (Å) of the phasing model at 2 Å resolution; it grows with the power 2.4 of the
        resolution.
    b_factor
        Mean B-factor (Å²) at 2 Å resolution; it grows with the square of the resolution.
    amplitude_error
        Relative error of |Fo| at the resolution limit.
    missing
        Fraction of reflections that were not measured.
    incomplete
        Fraction of the residues whose side chain the phasing model lacks.
    solvent
        Scale of the bulk solvent (electrons/Å³).
    anisotropy
        Standard deviation of the anisotropic part of the B-factor, as a fraction of its mean.
    noise_free
        Take amplitudes and phases of the structure as they are, without errors: the thesis's data.
    deposited_b
        Take the B-factors of the structure as they are, not scaled to `b_factor`.
    """

    coordinate_error: tuple[float, float] = (0.10, 0.31)
    b_factor: tuple[float, float] = (14.0, 45.0)
    amplitude_error: tuple[float, float] = (0.03, 0.20)
    missing: tuple[float, float] = (0.0, 0.12)
    incomplete: tuple[float, float] = (0.0, 0.08)
    solvent: tuple[float, float] = (0.30, 0.42)
    anisotropy: float = 0.10
    noise_free: bool = False
    deposited_b: bool = False


NOISE_FREE = SimulationOptions(noise_free=True)


def simulation_options(settings: Sequence[str]) -> SimulationOptions:
    """Return the options with some set otherwise, each written ``name=low,high``, ``name=number`` or ``noise_free``.

    Raises
    ------
    OptionError
        If there is no such option or it is of another form.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        value = getattr(SimulationOptions, name, None)
        try:
            if isinstance(value, bool) and not text:
                changes[name] = True
            elif isinstance(value, tuple):
                low, high = (float(number) for number in text.split(","))
                changes[name] = (low, high)
            elif isinstance(value, float):
                changes[name] = float(text)
            else:
                raise ValueError("no such option")
        except ValueError as error:
            names = ", ".join(f.name for f in fields(SimulationOptions))
            raise OptionError(
                f"{setting!r} is not a setting of the simulation ({error}); write, for instance, missing=0,0.1. "
                f"The settings are {names}."
            ) from error
    return SimulationOptions(**changes)


def put_in_box(structure: gemmi.Structure, rng: np.random.Generator, room: tuple[float, float] = (3.0, 9.0)) -> None:
    """Give a molecule a P1 cell in place: a random orientation in a box with room for solvent.

    Between the molecule and its next image there are so many Å along each axis, drawn from the range `room`.
    """
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    structure[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(q.tolist()), gemmi.Vec3(0, 0, 0)))
    box = structure.calculate_box()
    padding = rng.uniform(*room, 3)
    edges = np.array(box.get_size().tolist()) + padding
    shift = gemmi.Vec3(*(padding / 2 - np.array(box.minimum.tolist())))
    structure[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), shift))
    a, b, c = edges.tolist()
    structure.cell = gemmi.UnitCell(a, b, c, 90, 90, 90)
    structure.spacegroup_hm = "P 1"
    structure.setup_cell_images()


def rescale_b(model: gemmi.Model, mean_b: float, spread: float) -> None:
    """Give B-factors the mean `mean_b` (Å²) and a relative standard deviation of about `spread`, in place."""
    atoms = [site.atom for site in model.all()]
    b = np.array([atom.b_iso for atom in atoms])
    relative = (b - b.mean()) / max(b.std(), 1.0)
    new = np.clip(mean_b * (1 + spread * np.clip(relative, -1.6, 3.0)), 3.0, 400.0)
    for atom, value in zip(atoms, new, strict=True):
        atom.b_iso = float(value)


def _disturbed(structure: gemmi.Structure, rms: float, incomplete: float, rng: np.random.Generator) -> gemmi.Structure:
    """Return the phasing model: smooth and independent coordinate errors, no ligands, some side chains missing."""
    model = structure.clone()
    keep_waters = rng.random() < 0.5
    for chain in model[0]:
        for i in reversed(range(len(chain))):
            residue = chain[i]
            if label_of_residue(residue.name) is not None:
                if rng.random() < incomplete:
                    cut_to_main_chain(residue)
            elif not (keep_waters and residue.is_water()):
                del chain[i]
    moved(model, rms, rng)
    return model


def simulate_map(
    structure: gemmi.Structure,
    d_min: float,
    rng: np.random.Generator,
    options: SimulationOptions = SimulationOptions(),
    quality: PhaseQuality = REFINED,
) -> DensityMap:
    """Return the map of a crystal, see `simulate_crystal`."""
    return simulate_crystal(structure, d_min, rng, options, quality)[0]


def simulate_crystal(
    structure: gemmi.Structure,
    d_min: float,
    rng: np.random.Generator,
    options: SimulationOptions = SimulationOptions(),
    quality: PhaseQuality = REFINED,
) -> tuple[DensityMap, Amplitudes]:
    """Return the map of a crystal of `structure` at `d_min` Å, over the whole cell, with phases of some `quality`, and
    the amplitudes that were measured of it.

    The B-factors of `structure` are changed in place, unless they are to be left as deposited; a structure without a
    crystal is put into a P1 box in place.

    Raises
    ------
    ModelFormatError
        If the structure has no atoms or an unknown space group.
    """
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise ModelFormatError(f"{structure.name} has no atoms to simulate a map from.")
    if not structure.cell.is_crystal():
        put_in_box(structure, rng)
    if structure.find_spacegroup() is None:
        raise ModelFormatError(f"{structure.name} has the unknown space group {structure.spacegroup_hm!r}.")
    # B grows about quadratically with resolution in deposited structures (15-35 at 2 Å, 60-120 at 3.5 Å).
    mean_b = rng.uniform(*options.b_factor) * (d_min / 2.0) ** 1.8
    spread = rng.uniform(0.25, 0.65)
    if not options.deposited_b:
        rescale_b(structure[0], mean_b, spread)
    k_sol, b_sol = rng.uniform(*options.solvent), rng.uniform(35, 70)
    miller, f_true = structure_factors(structure, d_min, k_sol, b_sol)
    cell, spacegroup = structure.cell, structure.find_spacegroup()
    inv_d2 = reciprocal_lengths(cell, spacegroup, miller)
    coefficients, measured, f_obs = f_true, np.ones(len(f_true), bool), np.abs(f_true)
    if not options.noise_free:
        rms = rng.uniform(*options.coordinate_error) * (d_min / 2.0) ** 2.4
        phasing = _disturbed(structure, rms, rng.uniform(*options.incomplete), rng)
        _, f_calc = structure_factors(phasing, d_min, k_sol * rng.uniform(0.75, 1.2), b_sol * rng.uniform(0.7, 1.4))
        s = np.sqrt(inv_d2) * d_min
        relative = 0.03 + rng.uniform(*options.amplitude_error) * (d_min / 2.0) * s**3
        anisotropy = _anisotropic_scale(cell, miller, rng.normal(0, options.anisotropy) * mean_b, rng)
        # Errors of intensities: strong reflections are known better than weak ones.
        typical = np.sqrt((np.abs(f_true) ** 2).mean())
        noise = relative * np.sqrt(np.abs(f_true) * typical)
        f_obs = np.abs(np.abs(f_true) + noise * rng.normal(size=len(f_true))).astype(np.float32) * anisotropy
        m, d = sigma_a_coefficients(f_obs, f_calc, inv_d2)
        unit = np.exp(1j * np.angle(f_calc))
        measured = rng.random(len(f_obs)) >= rng.uniform(*options.missing)
        if rng.random() < 0.3:
            measured &= inv_d2 >= rng.uniform(15.0, 40.0) ** -2
        if quality.kind == "refined":
            filled = d * np.abs(f_calc) * unit
            coefficients = np.where(measured, 2 * m * f_obs * unit - filled, filled).astype(np.complex64)
        else:
            true = Reflections(cell, spacegroup, miller[measured], f_obs[measured], f_true[measured])
            coefficients = np.zeros(len(miller), np.complex64)
            coefficients[measured] = initial_coefficients(true, structure, quality, rng)
    amplitudes = Amplitudes(
        miller[measured], f_obs[measured].astype(np.float32), None, None, None, cell, spacegroup, ("F",)
    )
    values = map_values(cell, spacegroup, miller, coefficients)
    density = DensityMap(
        values,
        MapGrid(cell, spacegroup, values.shape),
        d_min=d_min,
        source={"simulated": structure.name, "d_min": d_min},
    )
    return density, amplitudes


def _anisotropic_scale(
    cell: gemmi.UnitCell, miller: NDArray[np.int32], b: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a Gaussian fall-off along a random direction, compensated for its average over directions."""
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    s = miller @ np.array(cell.frac.mat.tolist())
    along, total = (s @ direction) ** 2, (s**2).sum(1)
    return np.exp(np.clip(-b * (along - total / 3) / 4, -2, 2)).astype(np.float32)
