"""What was read in a map phases the next one better."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Reflections, map_coefficients, solvent_mask, with_flatter_solvent
from edseg_engine.dataset.experimental import ExperimentalCrystal
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.errors import DeviceError, OptionError
from edseg_engine.improvement import ReadResidues, best_reading
from edseg_engine.improvement.expected import expected_model
from edseg_engine.improvement.side_chains import SideChainFit, side_chains
from edseg_engine.inference.frames import axes_of
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.labels import LABELS, N_LABELS
from edseg_engine.residues.conformers import atoms_by_name
from phase_errors import phase_error

N, CA = range(2)


@pytest.fixture(scope="module")
def measured(crystal: ExperimentalCrystal) -> Amplitudes:
    assert crystal.amplitudes is not None
    return crystal.amplitudes


@pytest.fixture(scope="module")
def poor(crystal: ExperimentalCrystal) -> DensityMap:
    """The map of a poor search model."""
    return crystal.initial_density(2.0, TYPICAL["mr"], np.random.default_rng(0))


@pytest.fixture(scope="module")
def truth(crystal: ExperimentalCrystal) -> ReadResidues:
    """What a perfect reading would find."""
    known = crystal.residues
    return ReadResidues(known.points[:, 1:], np.eye(N_LABELS)[known.labels], np.full(len(known.labels), 0.5))


def error_of(density: DensityMap, crystal: ExperimentalCrystal, measured: Amplitudes) -> float:
    """Mean error of the phases of a map in degrees, weighted with the amplitudes."""
    of_map, of_model = (map_coefficients(of, measured.miller) for of in (density, crystal.density(2.0)))
    return phase_error(of_map, of_model, measured.f)


def doubting(truth: ReadResidues, share: float) -> ReadResidues:
    """The truth, believed to so much, and to the rest that every residue could be any."""
    return replace(truth, probabilities=share * truth.probabilities + (1 - share) / N_LABELS)


def test_side_chains_are_those_of_amino_acids() -> None:
    for label, chains in side_chains().items():
        assert [chain.type for chain in chains] == [name for name in LABELS[label].split("/") if name != "GLY"]
        for chain in chains:
            assert chain.positions.shape == (len(chain.shares), len(chain.atoms), 3)
            assert (chain.shares > 0).all()
            beta = chain.positions[:, chain.atoms.index("CB")]
            np.testing.assert_allclose(np.linalg.norm(beta, axis=1), 1.53, atol=0.06)
            np.testing.assert_allclose(beta[:, 1:], 0.0, atol=0.25)  # the frame points at it
    everything = sum(chain.shares.sum() for chains in side_chains().values() for chain in chains)
    assert everything == pytest.approx(1.0, abs=1e-3)


def test_the_conformation_in_the_density_is_the_probable_one(crystal: ExperimentalCrystal) -> None:
    fit, errors = SideChainFit(crystal.density(2.0)), []
    for chain in crystal.structure[0]:
        for residue in chain:
            if residue.name != "LEU":
                continue
            atoms = {name: np.array(atom.pos.tolist()) for name, atom in atoms_by_name(residue).items()}
            main_chain = np.array([[atoms[name] for name in ("N", "CA", "C")]])
            [(side_chain, positions, shares)] = fit.conformations(
                LABELS.index("LEU"), main_chain[:, CA], axes_of(main_chain)
            )
            assert shares.sum() == pytest.approx(1.0)
            best = positions[0, shares[0].argmax()]
            true = np.array([atoms[name] for name in side_chain.atoms])
            errors.append(np.sqrt(((best - true) ** 2).sum(1).mean()))
    assert len(errors) > 5
    assert np.median(errors) < 0.6


def test_a_class_is_there_as_far_as_it_is_believed(crystal: ExperimentalCrystal, truth: ReadResidues) -> None:
    alanine = np.eye(N_LABELS)[LABELS.index("ALA")]
    atoms = truth.atoms.copy()
    atoms[0, N] = np.nan
    read = ReadResidues(atoms, 0.6 * truth.probabilities + 0.4 * alanine, truth.confidence)
    residues = list(expected_model(crystal.density(2.0), read)[0]["A"])
    assert len(residues) == 94  # one has no main chain
    for residue, probabilities in zip(residues, read.probabilities[1:], strict=True):
        assert [atom.occ for atom in residue if atom.name in ("N", "CA", "C", "O")] == [1.0] * 4
        beta = sum(atom.occ for atom in residue if atom.name == "CB")
        # Conformations of little probability are left out.
        assert 0.8 < beta + probabilities[LABELS.index("GLY")] <= 1 + 1e-6


def improved(poor: DensityMap, measured: Amplitudes, cycles: int, found: ReadResidues, sure: float = 0.5) -> DensityMap:
    """The map of the last cycle, each of which finds the same, a little more surely each time."""
    sureness = itertools.count(sure, 0.01)

    def read(density: DensityMap) -> tuple[DensityMap, float]:
        return density, next(sureness)

    last, _ = best_reading(
        poor, measured, cycles, read, lambda pair: replace(found, confidence=np.full(len(found), pair[1]))
    )
    return last


def test_what_was_read_improves_the_phases(
    crystal: ExperimentalCrystal, measured: Amplitudes, poor: DensityMap, truth: ReadResidues
) -> None:
    before = error_of(poor, crystal, measured)
    doubted, known, longer = (
        error_of(improved(poor, measured, cycles, found), crystal, measured)
        for cycles, found in ((2, doubting(truth, 0.5)), (2, truth), (4, truth))
    )
    assert before > 50
    assert longer < known - 3
    assert known < doubted < before - 10


def test_a_flatter_solvent_improves_the_phases(
    crystal: ExperimentalCrystal, measured: Amplitudes, poor: DensityMap
) -> None:
    miller, f = measured.cut(2.0).in_asymmetric_unit()
    reflections = Reflections(measured.cell, measured.spacegroup, miller, f, np.zeros(len(f), np.complex64))
    of_map, of_model = (map_coefficients(of, miller) for of in (poor, crystal.density(2.0)))

    def error(residues: int) -> float:
        flatter = with_flatter_solvent(reflections, of_map, residues, 0.5)
        return phase_error(flatter, of_model, f)

    there_is_none, few_missing = 1000, 80
    assert with_flatter_solvent(reflections, of_map, there_is_none, 0.5) is of_map
    assert error(len(crystal.residues.labels)) < error(there_is_none) - 6
    assert error(few_missing) < error(there_is_none) - 4
    assert error(5) < error(there_is_none) + 4  # what was not found is no solvent


def test_the_solvent_is_flatter_the_less_sure_a_reading_is(
    crystal: ExperimentalCrystal, measured: Amplitudes, poor: DensityMap, truth: ReadResidues
) -> None:
    true_map = gemmi.FloatGrid(crystal.density(2.0).values, poor.cell, poor.spacegroup)

    def fluctuation_of_solvent(sureness: float) -> float:
        density = improved(poor, measured, 2, truth, sureness)
        mask = solvent_mask(true_map, 0.3)
        return float(density.values[mask].std() / density.values[~mask].std())

    unsure, doubted, sure = map(fluctuation_of_solvent, (0.2, 0.5, 0.85))
    assert unsure < doubted < sure - 0.05


@pytest.mark.parametrize(
    ("sure", "best"),
    [
        ([0.4, 0.5, 0.6], 2),
        ([0.4, 0.37, 0.5], 2),
        ([0.4, 0.5, 0.45], 1),
        ([0.4, 0.3, 0.9], 0),
        ([0.95, 0.99, 0.99], 0),
    ],
)
def test_the_surest_reading_is_taken(
    measured: Amplitudes, poor: DensityMap, truth: ReadResidues, sure: list[float], best: int
) -> None:
    seen: list[DensityMap] = []

    def read(density: DensityMap) -> int:
        seen.append(density)
        return len(seen) - 1

    taken = best_reading(
        poor, measured, 3, read, lambda number: replace(truth, confidence=np.full(len(truth), sure[number]))
    )
    assert taken == best
    assert seen[0] is poor
    assert len(seen) == (1 if sure[0] > 0.9 else min(3, best + 2))
    for number, density in enumerate(seen[1:]):
        assert (density.d_min, density.cell) == (poor.d_min, poor.cell)
        assert density.source == {**poor.source, "cycle": number + 2}


def test_scale_offset_and_intensities_change_nothing(
    measured: Amplitudes, poor: DensityMap, truth: ReadResidues
) -> None:
    expected = improved(poor, measured, 2, truth).values
    scaled = replace(poor, values=(7.3 * poor.values + 2.1).astype(np.float32))
    squared = replace(measured, f=measured.f**2, intensities=True)
    for density, amplitudes in ((scaled, measured), (poor, squared)):
        values = improved(density, amplitudes, 2, truth).values
        assert np.corrcoef(values.ravel(), expected.ravel())[0, 1] > 0.9999


def test_where_nothing_was_read_the_map_stays(measured: Amplitudes, poor: DensityMap, truth: ReadResidues) -> None:
    nothing = ReadResidues(np.zeros((0, 7, 3)), np.zeros((0, N_LABELS)), np.zeros(0))
    assert improved(poor, measured, 2, nothing) is poor
    without_main_chain = replace(truth, atoms=np.full_like(truth.atoms, np.nan))
    assert improved(poor, measured, 2, without_main_chain) is poor


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spacegroup": gemmi.SpaceGroup("P 31 2 1")}, "not those of the map"),
        ({"cell": gemmi.UnitCell(90.0, 90.0, 88.0, 90.0, 90.0, 120.0)}, "not those of the map"),
        ({"f": np.zeros(7109, np.float32)}, "0 measured amplitudes"),
    ],
)
def test_amplitudes_of_another_crystal_or_too_few_are_refused(
    measured: Amplitudes, poor: DensityMap, truth: ReadResidues, changes: dict[str, Any], message: str
) -> None:
    changes = {key: value[: len(measured.f)] if key == "f" else value for key, value in changes.items()}
    with pytest.raises(OptionError, match=message):
        improved(poor, replace(measured, **changes), 2, truth)


def test_what_was_read_stays_if_a_later_map_cannot_be_read(
    measured: Amplitudes, poor: DensityMap, truth: ReadResidues
) -> None:
    def read(density: DensityMap) -> DensityMap:
        if density.cycle > 2:
            raise DeviceError("There is not enough memory.")
        return density

    best = best_reading(
        poor, measured, 5, read, lambda density: replace(truth, confidence=np.full(len(truth), 0.1 * density.cycle))
    )
    assert best.cycle == 2


def test_residues_whose_votes_are_in_one_place_are_no_part_of_the_model(
    crystal: ExperimentalCrystal, truth: ReadResidues
) -> None:
    atoms = truth.atoms.copy()
    atoms[:5] = atoms[:5, :1]
    assert len(expected_model(crystal.density(2.0), replace(truth, atoms=atoms))[0]["A"]) == len(truth) - 5


def test_a_box_is_refused(measured: Amplitudes, poor: DensityMap, truth: ReadResidues) -> None:
    with pytest.raises(OptionError, match="whole crystal"):
        improved(replace(poor, periodic=False), measured, 2, truth)
