"""Maps as they are before a structure is solved: phases of a main chain, of a poor search model, or of an experiment.

A map phased by the finished model has seen the answer. Here amplitudes, simulated or measured, get the phases that a
crystallographer has at the beginning. Phases of a model carry its side chains, right or wrong, into the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from edseg_engine.crystal.phasing import (
    Complex,
    Floats,
    Reflections,
    concentration,
    density_modified,
    figure_of_merit,
    model_phased,
    resolution_shells,
    unit,
)
from edseg_engine.crystal.structure_factors import put_solvent_mask, structure_factors
from edseg_engine.labels import label_of_residue
from edseg_engine.residues.conformers import atoms_by_name

MAIN_CHAIN = ("N", "CA", "C", "O", "CB")
#: Kinds of phases; "refined" are those of the nearly finished model.
KINDS = ("refined", "main-chain", "mr", "experimental")


@dataclass(frozen=True)
class PhaseQuality:
    """How poor the phases of one map are.

    Attributes
    ----------
    kind
        One of `KINDS`.
    coordinate_error
        Root mean square error (Å) of the phasing model; for ``"main-chain"`` and ``"mr"``.
    missing, bare, wrong
        Fractions of the residues of a search model that it lacks (in stretches), and that are cut to CB or carry the
        side chain of another type, as a homologue's do; for ``"mr"``.
    phase_error
        Mean error of the phases in degrees, for ``"experimental"``.
    modified
        Whether the experimental phases went through density modification.
    """

    kind: str = "refined"
    coordinate_error: float = 0.4
    missing: float = 0.2
    bare: float = 0.3
    wrong: float = 0.3
    phase_error: float = 45.0
    modified: bool = False


#: Phases of the nearly finished model.
REFINED = PhaseQuality()

#: Typical phases of each kind, on which accuracy is measured: a main chain 0.4 Å off, a poor search model, and
#: experimental phases 45 degrees off, before and after density modification.
TYPICAL: dict[str, PhaseQuality] = {
    "refined": REFINED,
    "main-chain": PhaseQuality("main-chain", coordinate_error=0.4),
    "mr": PhaseQuality("mr", coordinate_error=0.8),
    "experimental": PhaseQuality("experimental", phase_error=45.0),
    "modified": PhaseQuality("experimental", phase_error=45.0, modified=True),
}


def draw_quality(kind: str, rng: np.random.Generator) -> PhaseQuality:
    """Return a random quality of a kind, spread from good to hopeless."""
    return PhaseQuality(
        kind,
        coordinate_error=float(rng.uniform(0.2, 0.6) if kind == "main-chain" else rng.uniform(0.3, 1.0)),
        missing=float(rng.uniform(0.0, 0.4)),
        bare=float(rng.uniform(0.0, 0.6)),
        wrong=float(rng.uniform(0.0, 0.5)),
        phase_error=float(rng.uniform(20.0, 62.0)),
        modified=bool(rng.random() < 0.5),
    )


def moved(structure: gemmi.Structure, rms: float, rng: np.random.Generator) -> None:
    """Give the atoms of a model, in place, smooth and independent errors of `rms` Å in all, and other B-factors."""
    atoms = [site.atom for site in structure[0].all()]
    xyz = np.array([atom.pos.tolist() for atom in atoms])
    n_waves = 24
    direction = rng.normal(size=(n_waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    waves = direction * (2 * np.pi / rng.uniform(6.0, 40.0, (n_waves, 1)))
    phase = xyz @ waves.T + rng.uniform(0, 2 * np.pi, n_waves)
    smooth = np.sin(phase) @ rng.normal(size=(n_waves, 3))
    smooth *= rms / max(np.sqrt((smooth**2).sum(1).mean()), 1e-6)
    # Where atoms move most they are known least: errors grow with the B-factor.
    b = np.array([atom.b_iso for atom in atoms])
    size = np.clip(b / max(b.mean(), 1e-6), 0.4, 2.5)[:, None]
    xyz = xyz + size * (smooth + rng.normal(size=xyz.shape) * (0.25 * rms / np.sqrt(3)))
    new_b = np.clip(b * np.exp(rng.normal(0, 0.15, len(b))), 2.0, 500.0)
    for atom, position, value in zip(atoms, xyz, new_b, strict=True):
        atom.pos, atom.b_iso = gemmi.Position(*position), float(value)


def phasing_model(structure: gemmi.Structure, quality: PhaseQuality, rng: np.random.Generator) -> gemmi.Structure:
    """Return the model that phases a ``"main-chain"`` or ``"mr"`` map of `structure`: protein only, with errors."""
    model = structure.clone()
    for chain in model[0]:
        for i in reversed(range(len(chain))):
            if label_of_residue(chain[i].name) is None:
                del chain[i]
    if quality.kind == "main-chain":
        for chain in model[0]:
            for residue in chain:
                cut_to_main_chain(residue)
    else:
        _search_model(model[0], quality, rng)
    model.remove_empty_chains()
    moved(model, quality.coordinate_error, rng)
    model.setup_cell_images()
    return model


def cut_to_main_chain(residue: gemmi.Residue) -> None:
    """Remove the side chain beyond CB, in place."""
    for j in reversed(range(len(residue))):
        if residue[j].name not in MAIN_CHAIN:
            del residue[j]


def _search_model(model: gemmi.Model, quality: PhaseQuality, rng: np.random.Generator) -> None:
    donors = [residue.clone() for chain in model for residue in chain]
    for chain in model:
        n = len(chain)
        gone = np.zeros(n, bool)
        for _ in range(50):
            if gone.sum() >= quality.missing * n - 2:
                break
            start = int(rng.integers(n))
            gone[start : start + int(rng.integers(4, 16))] = True
        for i in reversed(range(n)):
            fate = rng.random()
            if gone[i] and not gone.all():
                del chain[i]
            elif fate < quality.bare:
                cut_to_main_chain(chain[i])
            elif fate < quality.bare + quality.wrong:
                _graft(chain[i], donors[rng.integers(len(donors))])


def _graft(residue: gemmi.Residue, donor: gemmi.Residue) -> None:
    """Give a residue the side chain of another, in the orientation that it has on its own main chain."""
    frames = []
    for r in (donor, residue):
        atoms = [r.find_atom(name, "*") for name in ("N", "CA", "C")]
        if any(atom is None for atom in atoms):
            return
        frames.append([atom.pos for atom in atoms])
    transform = gemmi.superpose_positions(frames[1], frames[0]).transform
    cut_to_main_chain(residue)
    for j in reversed(range(len(residue))):
        if residue[j].name == "CB":
            del residue[j]
    b = float(np.mean([atom.b_iso for atom in residue]))
    for name, atom in atoms_by_name(donor).items():
        if name in ("N", "CA", "C", "O", "OXT"):
            continue
        new = atom.clone()
        new.pos = gemmi.Position(transform.apply(atom.pos))
        new.b_iso = b
        residue.add_atom(new)


def initial_coefficients(
    true: Reflections, structure: gemmi.Structure, quality: PhaseQuality, rng: np.random.Generator
) -> Complex:
    """Return map coefficients (n,): 2mFo-DFc phased by a poor model, or m·Fo with experimental phases.

    Parameters
    ----------
    true
        Measured amplitudes, with the phases of the finished structure as centroids of any length.
    structure
        The finished structure.
    quality
        Of a kind other than ``"refined"``.
    """
    if quality.kind == "experimental":
        centroids = experimental_phases(true, quality, 1 - protein_fraction(structure), rng)
        return (true.amplitudes * centroids).astype(np.complex64)
    model = phasing_model(structure, quality, rng)
    d_min = float(true.inv_d2.max() ** -0.5)
    k_sol, b_sol = rng.uniform(0.3, 0.4), rng.uniform(35, 60)
    _, f_calc = structure_factors(model, d_min, k_sol, b_sol, true.miller)
    return model_phased(true.amplitudes, f_calc, true.inv_d2)


def experimental_phases(
    reflections: Reflections, quality: PhaseQuality, solvent: float, rng: np.random.Generator
) -> Complex:
    """Return phase centroids (n,) as an experiment gives them, from the true phases of `reflections`.

    Errors are von Mises distributed and grow with the resolution; weak reflections are phased worse than strong ones.

    Parameters
    ----------
    solvent
        Fraction of the cell that is solvent, for density modification.
    """
    inv_d2 = reflections.inv_d2
    f = reflections.amplitudes.astype(np.float64)
    relative = np.ones(len(f))
    for shell in resolution_shells(inv_d2):
        relative[shell] = f[shell] / max(f[shell].mean(), 1e-9)
    fall = rng.uniform(0.5, 3.0)
    profile = np.clip(relative, 0.1, 3.0) * np.exp(-fall * inv_d2 / inv_d2.max()) * rng.gamma(4.0, 0.25, len(f))
    x = profile * _scale_for_error(profile, np.radians(quality.phase_error))
    error = rng.vonmises(0.0, np.minimum(x, 400.0))
    centroids = (figure_of_merit(x) * unit(reflections.centroids) * np.exp(1j * error)).astype(np.complex64)
    if not quality.modified:
        return centroids
    phased = Reflections(
        reflections.cell, reflections.spacegroup, reflections.miller, reflections.amplitudes, centroids
    )
    return density_modified(phased, float(np.clip(solvent + rng.normal(0, 0.04), 0.1, 0.9)), int(rng.integers(2, 7)))


def _scale_for_error(profile: Floats, target: float) -> float:
    """Return the factor of the concentrations `profile` at which the mean phase error is `target` (radians)."""
    angles = np.linspace(0, np.pi, 181)
    grid = concentration(np.linspace(0, 0.999, 200))
    density = np.exp(grid[:, None] * (np.cos(angles) - 1))
    mean_error = (density * angles).sum(1) / density.sum(1)
    low, high = 1e-3, 1e3
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        if np.interp(profile * middle, grid, mean_error).mean() > target:
            low = middle
        else:
            high = middle
    return middle


def protein_fraction(structure: gemmi.Structure) -> float:
    """Return the fraction of the cell of a crystal that its atoms fill."""
    mask = gemmi.FloatGrid()
    mask.set_unit_cell(structure.cell)
    mask.spacegroup = structure.find_spacegroup()
    mask.set_size_from_spacing(1.5, gemmi.GridSizeRounding.Up)
    put_solvent_mask(mask, structure)
    return float(1 - mask.array.mean())
