"""Copies of a molecule are read in the mean of their densities, where these are alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import map_coefficients
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.improvement import ReadResidues, best_reading
from edseg_engine.improvement.averaging import averaged_over_copies
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.labels import N_LABELS
from edseg_engine.residues.known import KnownResidues
from edseg_engine.residues.superpositions import Superposition, find_superpositions

Floats = NDArray[np.float64]

TURN = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
#: Crystals with room for two molecules, and how far away the second is (Å).
CRYSTALS = {
    "orthorhombic": (gemmi.UnitCell(120, 110, 100, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21"), (43.0, 63.0, 32.0)),
    "trigonal": (gemmi.UnitCell(150, 150, 90, 90, 90, 120), gemmi.SpaceGroup("P 31 2 1"), (19.0, 87.0, 58.0)),
    "triclinic": (gemmi.UnitCell(75, 80, 95, 82, 97, 107), gemmi.SpaceGroup("P 1"), (-16.0, 22.0, 54.0)),
}


@dataclass(frozen=True)
class Twice:
    """A crystal with a molecule twice in its asymmetric unit; `half` is where half of the second is."""

    truth: DensityMap
    noisy: DensityMap
    atoms: Floats
    probabilities: Floats
    shift: Floats
    molecules: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    half: NDArray[np.bool_]

    def found(self) -> list[Superposition]:
        return find_superpositions(self.atoms, self.probabilities, Symmetry(self.truth.cell, self.truth.spacegroup))

    def correlation(self, density: DensityMap, where: NDArray[np.bool_]) -> float:
        return float(np.corrcoef(density.values[where], self.truth.values[where])[0, 1])


def density_of(model: gemmi.Model, cell: gemmi.UnitCell, group: gemmi.SpaceGroup) -> DensityMap:
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate = 3.0, 2.0
    calculator.grid.set_unit_cell(cell)
    calculator.grid.spacegroup = group
    calculator.put_model_density_on_grid(model)
    values = np.array(calculator.grid.array)
    return DensityMap(values, MapGrid(cell, group, values.shape), 3.0)


def in_crystal(values: Floats | NDArray[np.float32], like: DensityMap) -> NDArray[np.float32]:
    """Values with the symmetry of the crystal."""
    grid = gemmi.FloatGrid(np.ascontiguousarray(values, np.float32), like.cell, like.spacegroup)
    grid.symmetrize_avg()
    return np.array(grid.array)


def noise(like: DensityMap, deviation: float) -> NDArray[np.float32]:
    """Noise with the resolution of a map."""
    values = np.random.default_rng(0).normal(size=like.values.shape)
    values = in_crystal(gaussian_filter(values, 1.5, mode="wrap"), like)
    return np.asarray(values / values.std() * deviation, np.float32)


def at(density: DensityMap, positions: Floats) -> NDArray[np.float32]:
    grid = gemmi.FloatGrid(density.values, density.cell, density.spacegroup)
    return np.array([grid.interpolate_value(gemmi.Position(*each)) for each in positions], np.float32)


def near(model: gemmi.Model, like: DensityMap, first: int = 0) -> NDArray[np.bool_]:
    """Where a molecule is from the residue `first` on."""
    mask = gemmi.Int8Grid(*like.values.shape)
    mask.set_unit_cell(like.cell)
    mask.spacegroup = like.spacegroup
    for chain in model:
        for residue in list(chain)[first:]:
            for atom in residue:
                mask.set_points_around(atom.pos, 2.0, 1)
    mask.symmetrize_max()
    return np.array(mask.array) > 0


def in_its_crystal(name: str, structure: gemmi.Structure, known: KnownResidues) -> Twice:
    cell, group, shift = CRYSTALS[name]
    one, other = structure[0].clone(), structure[0].clone()
    one.remove_ligands_and_waters()
    other.remove_ligands_and_waters()
    other.transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(TURN.tolist()), gemmi.Vec3(*shift)))
    both = one.clone()
    for chain in other:
        both.add_chain(chain)
    truth = density_of(both, cell, group)
    molecules = near(one, truth), near(other, truth)
    assert not (molecules[0] & molecules[1]).any()
    noisy = replace(truth, values=truth.values + noise(truth, 0.7 * float(truth.values[molecules[0]].std())))
    rng = np.random.default_rng(1)
    points = known.points[:, 1:]
    complete = np.isfinite(points[:, :3]).all((1, 2))
    atoms = np.concatenate([points[complete], points[complete] @ TURN.T + np.array(shift)])
    atoms = atoms + 0.2 * rng.normal(size=atoms.shape)
    scores = rng.normal(size=(len(atoms), N_LABELS)) + 4 * np.eye(N_LABELS)[np.tile(known.labels[complete], 2)]
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return Twice(truth, noisy, atoms, probabilities, np.array(shift), molecules, near(other, truth, 45))


@pytest.fixture(scope="module")
def twice(crystal_model: gemmi.Structure, crystal_residues: KnownResidues) -> Twice:
    return in_its_crystal("orthorhombic", crystal_model, crystal_residues)


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_errors_of_copies_average_out(
    name: str, crystal_model: gemmi.Structure, crystal_residues: KnownResidues
) -> None:
    twice = in_its_crystal(name, crystal_model, crystal_residues)
    averaged = averaged_over_copies(twice.noisy, twice.found())
    for molecule in twice.molecules:
        assert 0.7 < twice.correlation(twice.noisy, molecule) < 0.85
        assert twice.correlation(averaged, molecule) > twice.correlation(twice.noisy, molecule) + 0.045
    assert averaged.grid is twice.noisy.grid
    assert averaged.averaged
    assert not twice.noisy.averaged
    assert averaged.values.dtype == np.float32


def test_symmetry_stays_and_so_does_what_is_not_of_a_copy(twice: Twice) -> None:
    averaged = averaged_over_copies(twice.noisy, twice.found())
    np.testing.assert_allclose(
        averaged.values, in_crystal(averaged.values, averaged), atol=1e-4 * twice.noisy.values.std()
    )
    changed = averaged.values != twice.noisy.values
    everywhere = twice.molecules[0] | twice.molecules[1]
    assert changed[everywhere].mean() > 0.8
    assert changed[~everywhere].mean() < 0.25
    assert averaged_over_copies(twice.noisy, []) is twice.noisy


def test_superpositions_are_refined_against_the_density(twice: Twice) -> None:
    found = twice.found()
    turned = Rotation.from_rotvec([0.03, -0.02, 0.04]).as_matrix()
    beside = [
        replace(each, rotation=turned @ each.rotation, shift=each.moved(centre) - turned @ each.rotation @ centre + 0.6)
        for each in found
        for centre in [each.places.mean(0)]
    ]
    exact, refined = (averaged_over_copies(twice.noisy, each) for each in (found, beside))
    inside = twice.molecules[0]
    assert twice.correlation(refined, inside) == pytest.approx(twice.correlation(exact, inside), abs=0.01)


def test_residues_that_look_different_keep_their_density(twice: Twice) -> None:
    """As where one copy has another conformation: half of the second molecule is something else here."""
    values = twice.truth.values
    other = noise(twice.truth, float(values[twice.half].std()))
    density = replace(twice.truth, values=np.where(twice.half, other, values))
    averaged = averaged_over_copies(density, twice.found())
    assert twice.correlation(averaged, twice.molecules[0]) > 0.98
    assert np.corrcoef(averaged.values[twice.half], density.values[twice.half])[0, 1] > 0.97
    alike = averaged_over_copies(twice.noisy, twice.found())
    assert np.corrcoef(alike.values[twice.half], twice.noisy.values[twice.half])[0, 1] < 0.95


def test_copies_are_read_in_their_mean_density(twice: Twice) -> None:
    """More alike than where the classes say that they are no copies."""
    miller = gemmi.make_miller_array(twice.truth.cell, twice.truth.spacegroup, 3.0)
    f = np.abs(map_coefficients(twice.truth, miller)).astype(np.float32)
    measured = Amplitudes(miller, f, None, None, None, twice.truth.cell, twice.truth.spacegroup, ("F",))
    known = len(twice.atoms) // 2
    places = twice.atoms[:known, :3].reshape(-1, 3)

    def likeness(probabilities: Floats) -> float:
        """Correlation of both copies in the map that is read second."""
        seen: list[DensityMap] = []
        found = ReadResidues(twice.atoms, probabilities, np.full(len(twice.atoms), 0.5))
        best_reading(twice.noisy, measured, 2, seen.append, lambda _: found)
        one, other = (at(seen[1], where) for where in (places, places @ TURN.T + twice.shift))
        return float(np.corrcoef(one, other)[0, 1])

    others = np.roll(twice.probabilities[known:], 7, axis=0)
    apart = 1 - likeness(np.concatenate([twice.probabilities[:known], others]))
    assert 1 - likeness(twice.probabilities) < 0.25 * apart


def test_repeats_are_no_copies(crystal_residues: KnownResidues) -> None:
    """Four times the same, one after the other: residues of repeats look alike and are others."""
    rng = np.random.default_rng(2)
    points = crystal_residues.points[:, 1:]
    known = points[np.isfinite(points[:, :3]).all((1, 2))]
    cell = gemmi.UnitCell(250, 110, 100, 90, 90, 90)
    steps = 37.0 * np.arange(4)[:, None, None, None] * np.eye(3)[0]
    four = known + steps
    atoms = (four + 0.2 * rng.normal(size=four.shape)).reshape(-1, four.shape[2], 3)
    probabilities = 0.6 * np.eye(N_LABELS)[rng.integers(0, N_LABELS, len(known))] + 0.4 / N_LABELS
    group = gemmi.SpaceGroup("P 1")
    found = find_superpositions(atoms, np.tile(probabilities, (4, 1)), Symmetry(cell, group))
    assert found
    values = rng.normal(size=(125, 55, 50)).astype(np.float32)
    density = DensityMap(values, MapGrid(cell, group, values.shape), 4.0)
    assert averaged_over_copies(density, found) is density


def in_a_row(copies: int, places: int) -> tuple[DensityMap, Superposition]:
    """Copies with errors of their own, each a step of 30 points from the one before, in a cell of `places` steps."""
    rng = np.random.default_rng(3)
    alike = np.tile(gaussian_filter(rng.normal(size=(30, 32, 28)), 2, mode="wrap"), (places, 1, 1))
    values = alike + 0.4 * gaussian_filter(rng.normal(size=alike.shape), 2, mode="wrap")
    cell, group = gemmi.UnitCell(30 * places, 32, 28, 90, 90, 90), gemmi.SpaceGroup("P 1")
    density = DensityMap(values.astype(np.float32), MapGrid(cell, group, values.shape), 3.0)
    each = rng.uniform([7, 7, 7], [23, 25, 21], (12, 3))
    numbers = np.arange(copies if copies == places else copies - 1)
    step = np.array([30.0, 0.0, 0.0])
    at_home = (each + step * numbers[:, None, None]).reshape(-1, 3)
    home = (12 * numbers[:, None] + np.arange(12)).reshape(-1)
    partners = np.stack([home, (home + 12) % (12 * places)], 1)
    pairs = np.unique(np.sort(partners, axis=1), axis=0)
    certain = np.ones(len(pairs))
    return density, Superposition(np.eye(3), step, at_home, at_home + step, partners, pairs, certain, 99.0, 2.0, True)


@pytest.mark.parametrize("copies", [2, 3, 6])
def test_residues_get_half_of_the_mean_of_their_copies(copies: int) -> None:
    """Of both neighbours in a ring; two copies are each other's, and count once."""
    density, superposition = in_a_row(copies, copies)
    values = density.values
    averaged = averaged_over_copies(density, [superposition]).values
    expected = 0.5 * values + 0.25 * np.roll(values, 30, 0) + 0.25 * np.roll(values, -30, 0)
    changed = averaged != values
    assert changed.mean() > 0.1
    error = (averaged - expected)[changed]
    assert np.sqrt((error**2).mean()) < 0.25 * (values - expected)[changed].std()


def test_what_may_be_chance_is_not_averaged() -> None:
    density, superposition = in_a_row(3, 3)
    assert averaged_over_copies(density, [replace(superposition, mean=0.3)]) is density


def test_copies_that_go_on_without_end_are_repeats() -> None:
    density, superposition = in_a_row(4, 13)
    assert averaged_over_copies(density, [superposition]) is density
    pair, other = in_a_row(2, 2)
    assert averaged_over_copies(pair, [other]) is not pair
