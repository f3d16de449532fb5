"""The voxels of residues and the density around them, in crystals of any shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.region import choose_region
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import OptionError
from edseg_engine.results.files import write_results
from edseg_engine.results.residue_voxels import MARGIN, ResidueVoxels, density_around, residue_voxels
from segmentations import segmentation

CELLS = {
    "P 1": gemmi.UnitCell(31, 37, 43, 81, 97, 105),
    "P 1 21 1": gemmi.UnitCell(41, 37, 52, 90, 113, 90),
    "P 32 2 1": gemmi.UnitCell(45.4, 45.4, 87.9, 90, 90, 120),
    "F 4 3 2": gemmi.UnitCell(90, 90, 90, 90, 90, 90),
}


def crystal(name: str, seed: int = 0) -> DensityMap:
    """Smooth random density with the symmetry of the space group."""
    cell, spacegroup = CELLS[name], gemmi.SpaceGroup(name)
    grid = gemmi.FloatGrid()
    grid.spacegroup = spacegroup
    grid.set_unit_cell(cell)
    grid.set_size_from_spacing(1.5, gemmi.GridSizeRounding.Up)
    grid.array[:] = np.random.default_rng(seed).normal(size=grid.shape)
    grid.symmetrize_max()
    nu, nv, nw = grid.shape
    return DensityMap(np.array(grid.array), MapGrid(cell, spacegroup, (nu, nv, nw))).low_passed(7.5)


@pytest.mark.parametrize("name", CELLS)
def test_voxels_come_to_their_residue_with_the_density_they_had(name: str) -> None:
    density = crystal(name)
    symmetry = Symmetry(density.cell, density.spacegroup)
    rng = np.random.default_rng(1)
    centroids = rng.uniform(0, 40, (12, 3))
    residue = np.repeat(np.arange(12), 20)
    votes = centroids[residue] + rng.normal(0, 0.3, (240, 3))
    positions = votes + rng.normal(0, 2.0, (240, 3))
    # The network saw each voxel, with its vote, somewhere else in the crystal.
    operation, shift = rng.integers(len(symmetry), size=240), rng.integers(-2, 3, (240, 3))
    seen, seen_votes = symmetry.apply(positions, operation, shift), symmetry.apply(votes, operation, shift)
    ids = residue + 1
    ids[::10] = 0
    voxels = residue_voxels(density, symmetry, seen, seen_votes, ids, centroids, 1.0)
    kept = ids > 0
    assert voxels.residue.tolist() == ids[kept].tolist()
    np.testing.assert_allclose(voxels.positions, positions[kept], atol=1e-8)
    for at, before in zip(voxels.positions[:40], seen[kept][:40], strict=True):
        there = voxels.density.sample(at, None, (1, 1, 1), 1.0)
        np.testing.assert_allclose(there, density.sample(before, None, (1, 1, 1), 1.0), atol=2e-2)


def test_the_box_of_a_map_without_a_crystal_ends_with_the_map() -> None:
    whole = crystal("P 1 21 1")
    grid = replace(whole.grid, start=(3, 2, 4))
    box = replace(whole, values=whole.values[3:12, 2:9, 4:10], grid=grid, periodic=False)
    around = density_around(box, np.array([[5.0, 6.0, 9.0]]))
    first = np.array(around.grid.start) - box.grid.start
    assert (first >= 0).all()
    assert ((first + around.values.shape) <= box.values.shape).all()
    a, b, c = (slice(f, f + n) for f, n in zip(first, around.values.shape, strict=True))
    np.testing.assert_array_equal(around.values, box.values[a, b, c])


def test_files_read_back(tmp_path: Path) -> None:
    run = segmentation(30)
    rng = np.random.default_rng(2)
    residue = np.repeat(np.arange(1, 31), 5)
    positions = rng.uniform(-40, 60, (150, 3))
    density = density_around(crystal("P 1 21 1"), positions)
    write_results(replace(run, voxels=ResidueVoxels(positions, residue, 1.25, density)), tmp_path / "out")
    assert json.loads((tmp_path / "out/result.json").read_text(encoding="utf-8"))["voxel_spacing"] == 1.25
    chain = gemmi.read_structure(str(tmp_path / "out/voxels.pdb"))[0][0]
    centroids = gemmi.read_structure(str(tmp_path / "out/centroids.pdb"))[0][0]
    assert [(r.seqid.num, r.name) for r in chain] == [(r.seqid.num, r.name) for r in centroids]
    found = np.array([atom.pos.tolist() for r in chain for atom in r])
    np.testing.assert_allclose(found, positions, atol=6e-4)
    ccp4 = gemmi.read_ccp4_map(str(tmp_path / "out/density.ccp4"))
    np.testing.assert_array_equal(ccp4.grid.array, density.values)
    assert [ccp4.header_i32(5 + i) for i in range(3)] == list(density.grid.start)
    extent = ccp4.get_extent()
    for position in positions:
        for offset in (-0.9 * MARGIN, 0.9 * MARGIN):
            corner = density.cell.fractionalize(gemmi.Position(*(position + offset / 3**0.5)))
            assert (np.array(extent.minimum.tolist()) <= corner.tolist()).all()
            assert (np.array(extent.maximum.tolist()) >= corner.tolist()).all()


def test_a_box_takes_the_place_of_the_region() -> None:
    density = crystal("P 32 2 1")
    region = choose_region(density, "auto", (-30.0, 10.0, 80.0, -10.0, 30.0, 100.0))
    assert region.name == "box"
    assert region.contains(np.array([[-20.0, 20.0, 90.0], [20.0, 20.0, 90.0]])).tolist() == [True, False]
    part = replace(density, values=density.values[:9, :9, :9], periodic=False)
    with pytest.raises(OptionError, match="outside"):
        choose_region(part, "auto", (500.0, 0.0, 0.0, 520.0, 9.0, 9.0))
