"""The map that building begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edseg_engine.building.clock import BuildClock
from edseg_engine.building.first_map import first_map
from edseg_engine.building.records import BackboneResidues
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.io.read import read_map
from edseg_engine.labels import N_LABELS
from edseg_engine.progress import ProgressCallback
from places import CRYSTAL


def test_a_build_begins_with_the_map_that_is_read_most_surely(tmp_path: Path) -> None:
    crystal = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, CRYSTAL))
    start = crystal.initial_density(2.0, TYPICAL["mr"], np.random.default_rng(0))
    symmetry = Symmetry(start.cell, start.spacegroup)
    atoms, labels = crystal.residues.points[:, 1:6], crystal.residues.labels

    def segmenter(density: DensityMap, progress: ProgressCallback) -> BackboneResidues:
        sure = np.full(len(labels), {1: 0.5, 2: 0.7, 3: 0.6}[density.cycle])
        return BackboneResidues(atoms, np.eye(N_LABELS)[labels], sure, symmetry)

    first = first_map(start, crystal.amplitudes, None, None, segmenter, BuildClock(), tmp_path)
    assert first.density.cycle == 2
    assert first.residues is not None
    assert first.residues.confidence[0] == 0.7
    written = read_map(first.file.path, f_label=first.file.f, phi_label=first.file.phi)
    np.testing.assert_allclose(written.values, first.density.values, atol=1e-2 * written.values.std())
    as_given = first_map(start, None, None, None, segmenter, BuildClock(), tmp_path)
    assert as_given.density is start
    assert as_given.residues is None


def test_a_build_with_experimental_phases_says_what_was_read(tmp_path: Path) -> None:
    crystal = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, CRYSTAL))
    experiment = crystal.initial_phases(2.0, TYPICAL["experimental"], np.random.default_rng(0))
    density = crystal.initial_density(2.0, TYPICAL["experimental"], np.random.default_rng(0))
    density = replace(density, source={"file": "mine.mtz"}, warnings=("Its phases are poor.",))

    def segmenter(density: DensityMap, progress: ProgressCallback) -> BackboneResidues:
        pytest.fail("The number of residues is known.")

    first = first_map(density, crystal.amplitudes, experiment, 95, segmenter, BuildClock(), tmp_path)
    assert first.file.path.name == "flat.mtz"
    assert (first.density.source, first.density.warnings) == (density.source, density.warnings)
    assert not np.array_equal(first.density.values, density.values)
