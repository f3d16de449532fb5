"""Maps on their way from poor phases to better ones."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.phases import REFINED, PhaseQuality
from edseg_engine.dataset.simulate import simulate_crystal
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.residues.known import KnownResidues
from edseg_engine.training import improved
from edseg_engine.training.improved import improved_maps


@pytest.fixture(scope="module")
def poor(crystal_model: gemmi.Structure, crystal_residues: KnownResidues) -> KnownMap:
    quality = PhaseQuality("main-chain", coordinate_error=0.3)
    density, amplitudes = simulate_crystal(crystal_model.clone(), 2.8, np.random.default_rng(1), quality=quality)
    return KnownMap(density, crystal_residues, "simulated", amplitudes)


def test_a_map_of_poor_phases_comes_with_the_one_that_follows(poor: KnownMap) -> None:
    first, second = improved_maps(poor, 2)
    assert first is poor.density
    assert (first.cycle, second.cycle) == (1, 2)
    assert second.d_min == first.d_min
    alike = np.corrcoef(first.values.reshape(-1), second.values.reshape(-1))[0, 1]
    assert 0.5 < alike < 0.99


def test_other_maps_come_alone(poor: KnownMap, monkeypatch: pytest.MonkeyPatch) -> None:
    assert improved_maps(poor, 1) == [poor.density]
    assert improved_maps(replace(poor, amplitudes=None), 3) == [poor.density]
    monkeypatch.setattr(improved, "_RESIDUES", len(poor.residues.labels) - 1)
    assert improved_maps(poor, 3) == [poor.density]


@pytest.mark.parametrize("quality", [REFINED, PhaseQuality("experimental")])
def test_simulated_crystals_are_measured(crystal_model: gemmi.Structure, quality: PhaseQuality) -> None:
    amplitudes: list[Amplitudes] = []
    for seed in (3, 4):
        density, measured = simulate_crystal(crystal_model.clone(), 2.5, np.random.default_rng(seed), quality=quality)
        assert measured.spacegroup.xhm() == density.spacegroup.xhm()
        assert measured.cut(2.5).f.size == measured.f.size
        possible = len(gemmi.make_miller_array(measured.cell, measured.spacegroup, 2.5))
        assert 0.8 * possible < len(measured.f) <= possible
        amplitudes.append(measured)
    one, other = (dict(zip(map(tuple, a.miller.tolist()), a.f.tolist(), strict=True)) for a in amplitudes)
    common = sorted(one.keys() & other.keys())
    alike = np.corrcoef([one[h] for h in common], [other[h] for h in common])[0, 1]
    assert 0.7 < alike < 0.999
