"""Made-up results, for tests of what is written of them."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.labels import LABELS
from edseg_engine.networks.card import WeightsInfo
from edseg_engine.options import SegmentOptions
from edseg_engine.results.class_maps import ClassMaps
from edseg_engine.results.records import ResidueProposal, Segmentation


def random_maps(grid: MapGrid, shape: tuple[int, int, int]) -> ClassMaps:
    """Class maps whose voxels are the points of the grid itself, with random probabilities."""
    n = int(np.prod(shape))
    xyz = np.stack(np.unravel_index(np.arange(n), shape), 1).astype(np.float32)
    probabilities = np.random.default_rng(1).random((n, len(LABELS))).astype(np.float16)
    prediction = VoxelPrediction(np.arange(n), xyz, xyz, probabilities, np.ones(n, np.float32))
    return ClassMaps(grid, shape, np.arange(n), xyz.T, shape, prediction)


def proposals(n: int, seed: int = 0) -> tuple[ResidueProposal, ...]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(len(LABELS), 0.3), size=n)
    positions = rng.uniform(-80, 200, size=(n, 3))
    return tuple(
        ResidueProposal(i + 1, tuple(positions[i].tolist()), tuple(p.tolist()), float(rng.uniform()), 20 + i)
        for i, p in enumerate(probabilities)
    )


def segmentation(
    n: int = 40, class_maps: ClassMaps | None = None, spacegroup: str = "P 1 21 1", seed: int = 0
) -> Segmentation:
    gamma = 120 if "H" in spacegroup else 90
    return Segmentation(
        residues=proposals(n, seed),
        options=SegmentOptions(n_residues=n or None, weights=Path("my/high.safetensors")),
        input={"file": "map.mtz", "format": "MTZ", "columns": ["FWT", "PHWT"]},
        cell=gemmi.UnitCell(51.25, 51.25, 80, 90, 90 if gamma == 120 else 103.5, gamma),
        spacegroup=gemmi.SpaceGroup(spacegroup),
        resolution=2.01234,
        region="asu",
        weights=WeightsInfo("high.safetensors", "ab" * 32, 1.8, 2.5),
        device="cpu",
        timings={"read": 0.12345, "network": 12.0},
        warnings=("The map is small.",),
        class_maps=class_maps,
    )


def box_maps() -> ClassMaps:
    cell = gemmi.UnitCell(30, 40, 50, 90, 100, 90)
    return random_maps(MapGrid(cell, gemmi.SpaceGroup("P 1 21 1"), (40, 48, 60), (-3, 2, 5)), (10, 12, 9))
