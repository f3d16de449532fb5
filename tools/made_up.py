"""A made-up result of any size, through the engine's own code that writes results."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from scipy import ndimage

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.labels import LABELS
from edseg_engine.networks.card import WeightsInfo
from edseg_engine.options import SegmentOptions
from edseg_engine.results.files import write_results
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import ResidueVoxels, density_around

_APART, _VOXELS, _GRID = 5.2, 35, 0.7
#: Where a residue votes N, CA, C, O, CB and the CA of its neighbours to be (Å), for chains along the third axis.
_ATOMS = np.array([
    (0.0, 0.0, -1.5), (0.0, 0.0, 0.0), (1.2, 0.0, 0.9), (2.2, 0.0, 0.3), (-0.8, 1.2, 0.5),
    (0.0, 0.0, _APART), (0.0, 0.0, -_APART),
])  # fmt: skip


def write_many(folder: Path, n: int) -> Path:
    """Write a result of `n` residues in chains, 35 voxels each, with density at 2 Å sampling, and return its folder."""
    rng = np.random.default_rng(0)
    edge = int(np.ceil(n ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*3 * [np.arange(edge)], indexing="ij"), -1).reshape(-1, 3)[:n]
    positions = 8 + _APART * lattice + rng.normal(0, 0.6, (n, 3))
    probabilities = np.sort(rng.dirichlet(np.full(len(LABELS), 0.15), n), axis=1)[:, ::-1]
    proposals = []
    for i, (position, p) in enumerate(zip(positions, probabilities, strict=True)):
        mixed = np.roll(p, rng.integers(len(LABELS)))
        x, y, z = position.tolist()
        atoms = tuple(map(tuple, (position + _ATOMS).tolist()))
        probable = tuple(mixed.tolist())
        proposals.append(ResidueProposal(i + 1, (x, y, z), probable, float(mixed.max()), _VOXELS, atoms))

    residue = np.repeat(np.arange(1, n + 1), _VOXELS)
    # A chain of steps of a voxel from each centroid, as the density of a residue is.
    steps = rng.choice([-1.0, 0.0, 1.0], (n, _VOXELS, 3)).cumsum(1)
    voxels = np.round(positions[:, None] + np.clip(steps, -2.5, 2.5)).reshape(-1, 3)
    side = 16 + _APART * edge
    points = int(np.ceil(side / _GRID))
    values = np.zeros((points, points, points), np.float32)
    np.add.at(values, tuple(np.floor(voxels / side * points).astype(int).T % points), 1.0)
    values = ndimage.gaussian_filter(values, 1.0)
    cell, spacegroup = gemmi.UnitCell(side, side, side, 90, 90, 90), gemmi.SpaceGroup("P 1")
    density = DensityMap(values, MapGrid(cell, spacegroup, (points, points, points)))
    statistics = {"mean": float(values.mean()), "sd": float(values.std())}
    run = Segmentation(
        residues=tuple(proposals),
        options=SegmentOptions(n_residues=n, voxels=True),
        input=statistics,
        cell=cell,
        spacegroup=spacegroup,
        resolution=2.0,
        region="asu",
        weights=WeightsInfo("none", "0" * 64, 1.8, 2.5),
        device="cpu",
        timings={},
        voxels=ResidueVoxels(voxels, residue, 1.0, density_around(density, voxels)),
    )
    write_results(run, folder)
    return folder
