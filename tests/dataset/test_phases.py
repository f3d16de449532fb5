"""Phases before a structure is solved: as poor as asked for, and never better informed than they may be."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from edseg_engine.cli.evaluate import PHASES
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Reflections, combined, concentration, density_modified, figure_of_merit
from edseg_engine.crystal.structure_factors import structure_factors
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry
from edseg_engine.dataset.phases import KINDS, TYPICAL, PhaseQuality, draw_quality, experimental_phases, phasing_model
from edseg_engine.dataset.simulate import simulate_map
from places import CRYSTAL


@pytest.fixture(scope="module")
def crystal() -> ExperimentalCrystal:
    return ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, CRYSTAL))


@pytest.fixture
def true_phases(crystal_model: gemmi.Structure) -> Reflections:
    miller, f = structure_factors(crystal_model, 2.2, 0.35, 46.0)
    spacegroup = crystal_model.find_spacegroup()
    return Reflections(crystal_model.cell, spacegroup, miller, np.abs(f), (f / np.abs(f)).astype(np.complex64))


def error(centroids: np.ndarray, true: Reflections) -> float:
    """Mean phase error in degrees."""
    return float(np.degrees(np.abs(np.angle(centroids * true.centroids.conj()))).mean())


def correlation(a: DensityMap, b: DensityMap) -> float:
    return float(np.corrcoef(a.values.ravel(), b.values.ravel())[0, 1])


def test_figures_of_merit_and_concentrations_are_inverse() -> None:
    merit = np.linspace(0.0, 0.99, 50)
    np.testing.assert_allclose(figure_of_merit(concentration(merit)), merit, atol=2e-3)


def test_phases_that_agree_reinforce_each_other_and_ignorance_changes_nothing() -> None:
    first = np.array([0.6, 0.6, 0.6, 0.0], np.complex64)
    second = np.array([0.6, 0.0, 0.6j, 0.3j], np.complex64)
    both = combined(first, second)
    assert abs(both[0]) > 0.75
    np.testing.assert_allclose(both[[1, 3]], [0.6, 0.3j], atol=5e-3)
    assert np.angle(both[2], deg=True) == pytest.approx(45.0, abs=0.5)


@pytest.mark.parametrize("wanted", [30.0, 45.0, 65.0])
def test_experimental_phases_are_as_wrong_as_asked_and_know_it(true_phases: Reflections, wanted: float) -> None:
    quality = PhaseQuality("experimental", phase_error=wanted)
    centroids = experimental_phases(true_phases, quality, 0.5, np.random.default_rng(0))
    assert error(centroids, true_phases) == pytest.approx(wanted, abs=2.0)
    cosine = np.cos(np.angle(centroids * true_phases.centroids.conj()))
    assert np.abs(centroids).mean() == pytest.approx(cosine.mean(), abs=0.02)
    fine = true_phases.inv_d2 > np.median(true_phases.inv_d2)
    assert np.abs(centroids[fine]).mean() < np.abs(centroids[~fine]).mean()


def test_density_modification_makes_phases_better(true_phases: Reflections) -> None:
    quality = PhaseQuality("experimental", phase_error=50.0)
    poor = experimental_phases(true_phases, quality, 0.5, np.random.default_rng(0))
    given = Reflections(true_phases.cell, true_phases.spacegroup, true_phases.miller, true_phases.amplitudes, poor)
    assert error(density_modified(given, 0.5), true_phases) < error(poor, true_phases) - 2.0


def test_a_main_chain_carries_no_side_chains(crystal_model: gemmi.Structure) -> None:
    model = phasing_model(crystal_model, PhaseQuality("main-chain"), np.random.default_rng(0))
    assert {site.atom.name for site in model[0].all()} == {"N", "CA", "C", "O", "CB"}
    before = {str(s): s.atom.pos for s in crystal_model[0].all()}
    shifts = [before[str(site)].dist(site.atom.pos) for site in model[0].all() if str(site) in before]
    assert 0.25 < np.sqrt(np.mean(np.square(shifts))) < 0.6


def test_a_search_model_lacks_residues_and_has_wrong_side_chains(crystal_model: gemmi.Structure) -> None:
    quality = PhaseQuality("mr", coordinate_error=0.0, missing=0.2, bare=0.3, wrong=0.3)
    model = phasing_model(crystal_model, quality, np.random.default_rng(1))
    n = sum(1 for residue in crystal_model[0][0] if residue.name != "HOH")
    assert 0.65 * n < len(model[0][0]) < 0.9 * n
    true = {r.seqid.num: r for r in crystal_model[0][0]}
    side_chains = [
        ({a.name for a in residue} - {"OXT"}, {a.name for a in true[residue.seqid.num]} - {"OXT"})
        for residue in model[0][0]
    ]
    wrong = [own for own, right in side_chains if own - right]
    assert 0.1 * n < len(wrong) < 0.4 * n
    # A side chain that was put on sits at a bond's length from its CA.
    for residue in model[0][0]:
        if "CB" in {a.name for a in residue}:
            assert residue.sole_atom("CB").pos.dist(residue.sole_atom("CA").pos) == pytest.approx(1.53, abs=0.12)


def test_real_amplitudes_get_poor_phases(crystal: ExperimentalCrystal) -> None:
    final = crystal.density(2.0)
    rng = np.random.default_rng(0)
    main_chain = crystal.initial_density(2.0, PhaseQuality("main-chain"), rng)
    poor = crystal.initial_density(2.0, PhaseQuality("mr", coordinate_error=0.8), rng)
    good = crystal.initial_density(2.0, PhaseQuality("experimental", phase_error=25.0), rng)
    assert correlation(final, good) > correlation(final, main_chain) > correlation(final, poor) > 0.4
    assert main_chain.source["phases"] == "main-chain"


@pytest.mark.parametrize("kind", ["main-chain", "mr", "experimental"])
def test_simulated_crystals_get_poor_phases(crystal_model: gemmi.Structure, kind: str) -> None:
    refined = simulate_map(crystal_model.clone(), 2.5, np.random.default_rng(3))
    quality = draw_quality(kind, np.random.default_rng(3))
    initial = simulate_map(crystal_model.clone(), 2.5, np.random.default_rng(3), quality=quality)
    assert 0.2 < correlation(refined, initial) < 0.95


def test_evaluation_offers_every_kind_of_phases() -> None:
    assert tuple(TYPICAL) == PHASES
    assert {quality.kind for quality in TYPICAL.values()} == set(KINDS)


@pytest.mark.parametrize("electrons", [False, True])
def test_one_atom_scatters_as_its_form_factor_says(electrons: bool) -> None:
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(20, 21, 22, 90, 90, 90), "P 1"
    atom, residue, chain, model = gemmi.Atom(), gemmi.Residue(), gemmi.Chain("A"), gemmi.Model(1)
    atom.name, atom.element, atom.b_iso, atom.pos = "O", gemmi.Element("O"), 25.0, gemmi.Position(10, 10, 10)
    residue.name = "HOH"
    residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_cell_images()
    miller, f = structure_factors(structure, 2.0, 0.0, 50.0, electrons=electrons)
    form = gemmi.Element("O").c4322 if electrons else gemmi.Element("O").it92
    inv_d2 = (np.asarray(miller) ** 2 / np.array([20.0, 21.0, 22.0]) ** 2).sum(1)
    expected = [form.calculate_sf(stol2 := x / 4) * np.exp(-25.0 * stol2) for x in inv_d2]
    np.testing.assert_allclose(np.abs(f), expected, rtol=0.03, atol=0.01 * max(expected))
