"""Maps of single particles: what electrons see, and where a mask ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Complex, Floats
from edseg_engine.dataset.cryo_em import _loosen, _sharpened, _with_noise, simulate_cryo_em
from edseg_engine.errors import ModelFormatError
from edseg_engine.inference.normalise import density_scale
from edseg_engine.resolution import WIDE
from edseg_engine.training.windows import CrystalSource, DataOptions
from places import MODEL
from tiny_training import training_folder


@dataclass(frozen=True)
class Particle:
    density: DensityMap
    names: NDArray[np.str_]
    positions: NDArray[np.float64]
    b_factors: NDArray[np.float64]

    @property
    def at_atoms(self) -> NDArray[np.float64]:
        """Density at the atoms, in normalised units."""
        offset, scale = density_scale(self.density.values)
        points = self.density.grid.fractional(self.positions) * self.density.grid.sampling
        return np.asarray(map_coordinates((self.density.values - offset) / scale, points.T, order=1, mode="grid-wrap"))


def particle(seed: int, d_min: float = 3.0) -> Particle:
    structure = gemmi.read_structure(str(MODEL))
    density = simulate_cryo_em(structure, d_min, np.random.default_rng(seed))
    sites = list(structure[0].all())
    names = np.array([site.residue.name + site.atom.name for site in sites])
    positions = np.array([site.atom.pos.tolist() for site in sites])
    return Particle(density, names, positions, np.array([site.atom.b_iso for site in sites]))


def only_waters() -> gemmi.Structure:
    structure = gemmi.read_structure(str(MODEL))
    for chain in structure[0]:
        for i in reversed(range(len(chain))):
            if not chain[i].is_water():
                del chain[i]
    return structure


@pytest.fixture(scope="module")
def particles() -> list[Particle]:
    return [particle(seed) for seed in range(8)]


def test_the_model_lies_in_the_map_in_a_box_of_its_own(particles: list[Particle]) -> None:
    for each in particles:
        assert each.density.spacegroup.hm == "P 1"
        assert (each.density.grid.fractional(each.positions) > 0).all()
        assert (each.density.grid.fractional(each.positions) < 1).all()
        assert each.at_atoms.mean() > 0.6  # 0.83 and 0.65 in EMD-6272 and EMD-5778
        assert not np.char.startswith(each.names, "HOH").any()


def test_carboxylates_and_loose_parts_are_weak(particles: list[Particle]) -> None:
    for each in particles:
        charged = np.isin(each.names, ["ASPOD1", "ASPOD2", "GLUOE1", "GLUOE2"])
        neutral = np.isin(each.names, ["ASNOD1", "GLNOE1", "SEROG", "THROG1"])
        loose = each.b_factors > np.median(each.b_factors)
        assert each.at_atoms[charged].mean() < each.at_atoms[neutral].mean()
        assert each.at_atoms[loose].mean() < each.at_atoms[~loose].mean()


def test_half_of_the_maps_end_at_a_mask(particles: list[Particle]) -> None:
    masked = 0
    for each in particles:
        points = np.argwhere(np.ones(each.density.values.shape, bool))[::50]
        far = KDTree(each.positions).query(each.density.grid.positions(points))[0] > 14.0
        outside = each.density.values[tuple(points[far].T)]
        assert far.sum() > 20
        assert (outside == 0).mean() in (0, 1)
        masked += bool((outside == 0).all())
    assert 1 < masked < 7


def shells(rng: np.random.Generator, d_min: float) -> tuple[Complex, Floats]:
    """Return structure factors that fall as by a B-factor of 80 Å², and 1 / d² of each, coarsest first."""
    inv_d2 = np.sort(rng.uniform(20.0**-3, d_min**-3, 200_000) ** (2 / 3))
    wave = rng.normal(size=len(inv_d2)) + 1j * rng.normal(size=len(inv_d2))
    return (wave * np.exp(-80.0 * inv_d2 / 4)).astype(np.complex64), inv_d2


@pytest.mark.parametrize("d_min", [2.5, 3.0, 4.5])
def test_maps_agree_with_the_particle_as_the_resolution_says(d_min: float) -> None:
    """A map is better than the half maps, which correlate by 0.143: by 0.5 with the truth."""
    rng = np.random.default_rng(3)
    signal, inv_d2 = shells(rng, d_min)
    noisy = _with_noise(signal, inv_d2, 120.0 * (d_min / 3) ** 2, 1.0, rng)
    fine, coarse = slice(-2000, None), inv_d2 < 0.01
    correlations = [np.corrcoef(noisy[some], signal[some])[0, 1].real for some in (fine, coarse)]
    assert correlations[0] == pytest.approx(0.5, abs=0.06)
    assert correlations[1] > 0.95


def test_noise_outside_a_mask_does_not_count() -> None:
    signal, inv_d2 = shells(np.random.default_rng(3), 3.0)
    limit = slice(-2000, None)
    errors = []
    for inside in (1.0, 0.25):
        noisy = _with_noise(signal, inv_d2, 120.0, inside, np.random.default_rng(4))[limit]
        errors.append(np.abs(noisy / np.sqrt(2 / 8) - signal[limit]).std())
    assert errors[1] == pytest.approx(2 * errors[0], rel=0.1)


def test_sharpening_makes_amplitudes_flat_to_the_resolution() -> None:
    signal, inv_d2 = shells(np.random.default_rng(3), 3.0)
    for seed in range(5):
        sharp = np.abs(_sharpened(signal, inv_d2, np.random.default_rng(seed)))
        fall = np.log(sharp[:20_000].mean() / sharp[-20_000:].mean())
        assert -0.4 < fall < 0.75 * np.log(np.abs(signal[:20_000]).mean() / np.abs(signal[-20_000:]).mean())


def test_b_factors_grow_away_from_a_place() -> None:
    model = gemmi.read_structure(str(MODEL))[0]
    before = np.array([site.atom.b_iso for site in model.all()])
    _loosen(model, 90.0, np.random.default_rng(1))
    positions = np.array([site.atom.pos.tolist() for site in model.all()])
    added = np.array([site.atom.b_iso for site in model.all()]) - before
    distance = np.linalg.norm(positions - positions[added.argmin()], axis=1)
    assert added.min() == pytest.approx(0, abs=1e-3)
    assert added.max() == pytest.approx(90, abs=1e-3)
    assert np.corrcoef(added, distance**2)[0, 1] > 0.999


def test_nothing_finer_than_the_resolution_is_in_the_map(particles: list[Particle]) -> None:
    unmasked = next(each for each in particles if (each.density.values != 0).mean() > 0.99)
    grid = gemmi.FloatGrid(unmasked.density.values, unmasked.density.cell, unmasked.density.spacegroup)
    data = gemmi.transform_map_to_f_phi(grid, half_l=True).prepare_asu_data(dmin=2.0)
    power = np.abs(data.value_array) ** 2
    assert power[data.make_1_d2_array() > 3.0**-2 + 1e-4].sum() < 1e-6 * power.sum()


def test_training_takes_the_share_that_it_is_told(tmp_path: Path) -> None:
    options = DataOptions(training_folder(tmp_path), poor_phases_share=0.0, cryo_em_share=0.5, crystal_share=1.0)
    source, rng = CrystalSource(options, WIDE), np.random.default_rng(2)
    kinds = [source.draw(rng).density.spacegroup.hm for _ in range(12)]
    assert set(kinds) == {"P 1", "P 32 2 1"}
    assert 3 <= kinds.count("P 1") <= 9


def test_structures_that_cannot_be_simulated_are_passed_over(tmp_path: Path) -> None:
    structure = only_waters()
    folder = training_folder(tmp_path)
    structure.make_mmcif_document().write_file(str(folder / "train" / "water.cif"))
    options = DataOptions(folder, poor_phases_share=0.0, cryo_em_share=1.0, crystal_share=1.0)
    source, rng = CrystalSource(options, WIDE), np.random.default_rng(2)
    assert {source.draw(rng).name for _ in range(5)} == {"1az5"}


def test_a_structure_of_waters_is_refused() -> None:
    structure = only_waters()
    with pytest.raises(ModelFormatError, match="no atoms"):
        simulate_cryo_em(structure, 3.0, np.random.default_rng(0))
