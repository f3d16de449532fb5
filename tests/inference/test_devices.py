"""Every device gives the results of the processor, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.evaluation.matching import match
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import label_residues, read_voxels
from edseg_engine.progress import Clock

_THERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.mark.parametrize("device", _THERE)
def test_a_device_gives_the_results_of_the_processor(crystal_map: DensityMap, device: str) -> None:
    """Answers may be some times as far apart as those of the processor in bfloat16 and in float32 are."""
    if not _THERE[device]:
        pytest.skip(f"there is no device {device} here")
    box = (0.0, 0.0, 0.0, 30.0, 30.0, 30.0)
    options = [SegmentOptions(device=name, orientations=2, box=box) for name in ("cpu", device)]
    readings = [read_voxels(crystal_map, each, Clock()) for each in options]
    here, there = (reading.prediction.voxels for reading in readings)
    np.testing.assert_array_equal(here.index, there.index)
    sure = here.weights > 0.5
    np.testing.assert_allclose(here.probabilities[sure], there.probabilities[sure], atol=0.05)
    apart = np.linalg.norm(here.votes - there.votes, axis=1)[sure]
    assert np.median(apart) < 0.02
    assert apart.max() < 0.4

    results = zip(readings, options, strict=True)
    found, again = (label_residues(reading, each, Clock()).residues for reading, each in results)
    places, others = (np.array([residue.position for residue in residues]) for residues in (found, again))
    pairs = match(places, others, readings[0].prediction.region.symmetry, cutoff=0.5)
    assert len(pairs.found) >= 0.95 * max(len(found), len(again))
    same = [found[i].ranks[0][0] == again[j].ranks[0][0] for i, j in zip(pairs.found, pairs.true, strict=True)]
    assert np.mean(same) >= 0.95
