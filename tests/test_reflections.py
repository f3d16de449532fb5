"""Reflection files of a real crystal."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.read import read_map

DATA = Path(__file__).parent / "data" / "1az5"


def test_real_map_has_density_at_the_atoms() -> None:
    density = read_map(DATA / "data.mtz.gz")
    assert density.d_min == pytest.approx(2.0, abs=0.01)
    assert density.periodic
    assert density.spacegroup.hm == "P 32 2 1"
    atoms = gemmi.read_structure(str(DATA / "model.cif.gz"))[0].all()
    at_atoms = [density.sample(cra.atom.pos.tolist(), None, (1, 1, 1), 1.0)[0, 0, 0] for cra in atoms]
    assert np.mean(at_atoms) > 2.5 * density.values.std()


def test_resolution_of_the_user_cuts_the_reflections() -> None:
    density = read_map(DATA / "data.mtz.gz", resolution=3.0)
    assert density.d_min == 3.0
    box = ((1.0, 2.0, 3.0), None, (25, 25, 25), 0.9)
    expected = read_map(DATA / "data.mtz.gz").low_passed(3.0).sample(*box)
    assert np.corrcoef(density.sample(*box).ravel(), expected.ravel())[0, 1] > 0.99
