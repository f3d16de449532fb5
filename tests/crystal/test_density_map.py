"""Sampling and low-passing a map."""

from __future__ import annotations

import pickle
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.io.read import read_map
from places import CRYSTAL


def test_pickle_after_sampling() -> None:
    density = read_map(CRYSTAL / "data.mtz.gz")
    box = density.sample((1, 2, 3), None, (5, 5, 5), 1.0)
    copy = pickle.loads(pickle.dumps(density))
    np.testing.assert_array_equal(copy.sample((1, 2, 3), None, (5, 5, 5), 1.0), box)


# --- low-pass ---------------------------------------------------------------------------------------------------


def test_low_pass_leaves_exactly_the_coarse_reflections() -> None:
    mtz = gemmi.read_mtz_file(str(CRYSTAL / "data.mtz.gz"))
    density = read_map(CRYSTAL / "data.mtz.gz")
    coarse = mtz.filtered(mtz.make_d_array() >= 3.2)
    expected = coarse.transform_f_phi_to_map("FWT", "PHWT", exact_size=density.grid.sampling)
    passed = density.low_passed(3.2)
    np.testing.assert_allclose(passed.values, expected.array, atol=2e-6)
    assert passed.values.dtype == np.float32
    assert passed.d_min == passed.source["d_min"] == 3.2


def test_low_pass_of_a_box_does_not_ring_at_its_faces() -> None:
    density = read_map(CRYSTAL / "data.mtz.gz")
    box = DensityMap(
        values=density.values[5:45, 10:50, 20:90],
        grid=replace(density.grid, start=(5, 10, 20)),
        periodic=False,
    ).low_passed(3.5)
    truth = density.low_passed(3.5).values[5:45, 10:50, 20:90]
    # The sharp cut spreads what is unknown beyond the faces far into the box: only its size can be small.
    error = (box.values - truth) / truth.std()
    assert box.values.shape == truth.shape
    assert np.sqrt((error[10:-10, 10:-10, 10:-10] ** 2).mean()) < 0.2
    for face in (error[0], error[-1], error[:, 0], error[:, -1], error[:, :, 0], error[:, :, -1]):
        assert np.sqrt((face**2).mean()) < 0.6


def test_low_pass_keeps_a_constant_offset() -> None:
    density = read_map(CRYSTAL / "data.mtz.gz")
    shifted = replace(density, values=density.values + np.float32(7))
    assert shifted.low_passed(4.0).values.mean() == pytest.approx(7, abs=1e-4)
