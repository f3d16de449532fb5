"""Values of reflections, and phases as distributions."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.phasing import combined, phase_terms, solvent_mask, values_at
from edseg_engine.io.map_coefficients import centroids


def test_values_are_found_by_their_indices() -> None:
    rng = np.random.default_rng(0)
    known = np.unique(rng.integers(-40, 41, (3000, 3)), axis=0).astype(np.int32)
    known = known[rng.permutation(len(known))]
    values = rng.normal(size=len(known)).astype(np.float32)
    wanted = np.concatenate([known[::3], known[:5] + [100, 0, 0], -known[:200]]).astype(np.int32)
    by_index = dict(zip(map(tuple, known.tolist()), values.tolist(), strict=True))
    expected = [by_index.get(tuple(hkl), -9.0) for hkl in wanted.tolist()]
    assert -9.0 in expected
    assert values_at(wanted, known, values, -9.0).tolist() == expected
    assert values_at(wanted, known, values, -9.0).dtype == np.float32


@pytest.mark.parametrize(("n_known", "n_wanted"), [(0, 4), (4, 0), (0, 0)])
def test_tables_without_reflections(n_known: int, n_wanted: int) -> None:
    known, wanted = (np.arange(3 * n, dtype=np.int32).reshape(n, 3) for n in (n_known, n_wanted))
    assert values_at(wanted, known, np.ones(n_known, np.complex64), 0).tolist() == [0] * n_wanted


def test_terms_of_a_phase_give_back_its_centroid() -> None:
    phases = np.array([0.95, 0.4j, -0.2 + 0.1j, 0.0], np.complex64)
    terms = phase_terms(phases)
    hkl = np.array([[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]], np.int32)
    hl = np.stack([terms.real, terms.imag, 0 * terms.real, 0 * terms.real], 1).astype(np.float32)
    np.testing.assert_allclose(centroids(hkl, hl, gemmi.SpaceGroup("P 1")), phases, atol=3e-3)


def test_a_distribution_of_no_weight_does_not_count() -> None:
    first, second = np.array([0.5, 0.1j], np.complex64), np.array([0.9j, -0.8], np.complex64)
    np.testing.assert_allclose(combined(first, second, 0.0), first, atol=3e-3)


def test_the_solvent_has_the_symmetry_of_the_crystal() -> None:
    grid = gemmi.FloatGrid(np.random.default_rng(0).normal(size=(36, 36, 72)).astype(np.float32))
    grid.set_unit_cell(gemmi.UnitCell(50, 50, 90, 90, 90, 120))
    grid.spacegroup = gemmi.SpaceGroup("P 32 2 1")
    grid.symmetrize_sum()
    mask = solvent_mask(grid, 0.4)
    assert mask.mean() == pytest.approx(0.4, abs=0.01)
    everywhere = gemmi.FloatGrid(mask.astype(np.float32), grid.unit_cell, grid.spacegroup)
    everywhere.symmetrize_max()
    assert (everywhere.array > 0.5).mean() < mask.mean() + 1e-3
