"""The density around residues in the frame of their main chain: the same for every copy and every way it is turned."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
import torch

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.inference.frames import CA, FrameReader, axes_of, boxes_of_density
from edseg_engine.labels import ATOMS, N_LABELS
from edseg_engine.networks.framenet import EDGE, N_CONTEXT, FrameNet, context_of
from edseg_engine.residues.known import KnownResidues

CB = ATOMS.index("CB")


@pytest.fixture(scope="module")
def atoms(crystal_residues: KnownResidues) -> np.ndarray:
    return crystal_residues.points[:, 1:]


@pytest.fixture(scope="module")
def reader(crystal_map: DensityMap) -> FrameReader:
    torch.manual_seed(0)
    return FrameReader(crystal_map, FrameNet(4, 16).eval())


def test_frames_are_right_handed_and_point_at_cb(atoms: np.ndarray) -> None:
    axes = axes_of(atoms)
    np.testing.assert_allclose(np.linalg.det(axes), 1.0)
    np.testing.assert_allclose(axes.transpose(0, 2, 1) @ axes, np.broadcast_to(np.eye(3), axes.shape), atol=1e-9)
    to_cb = atoms[:, CB] - atoms[:, CA]
    cosine = (to_cb * axes[:, :, 0]).sum(1) / np.linalg.norm(to_cb, axis=1)
    assert np.quantile(cosine, 0.05) > 0.98


def test_the_box_of_a_symmetry_copy_is_the_same(crystal_map: DensityMap, atoms: np.ndarray) -> None:
    symmetry = Symmetry(crystal_map.cell, crystal_map.spacegroup)
    few = atoms[:5]
    operation, shift = np.full(5, 2), np.tile([1, -1, 2], (5, 1))
    copies = np.stack([symmetry.apply(few[:, a], operation, shift) for a in range(few.shape[1])], 1)
    box, copied = (boxes_of_density(crystal_map, a[:, CA], axes_of(a)) for a in (few, copies))
    # Tricubic interpolation along skew axes is not quite the same in all directions.
    difference = np.abs(copied.astype(np.float32) - box)
    assert np.median(difference) < 0.03
    assert difference.max() < 0.3


def test_boxes_hold_the_residue(crystal_map: DensityMap, atoms: np.ndarray) -> None:
    mean = boxes_of_density(crystal_map, atoms[:, CA], axes_of(atoms)).mean(0, dtype=np.float64)
    # CA and CB lie 3.6 and 5.1 Å from the face of the box, in the middle of the others.
    assert mean[4:7, 6:10, 6:10].mean() > 4 * mean.mean()


def test_readings_go_with_the_copy(reader: FrameReader, atoms: np.ndarray) -> None:
    symmetry = Symmetry(reader.density.cell, reader.density.spacegroup)
    operation, shift = np.full(len(atoms), 1), np.tile([0, 1, 0], (len(atoms), 1))
    copies = np.stack([symmetry.apply(atoms[:, a], operation, shift) for a in range(atoms.shape[1])], 1)
    here, there = reader.read(atoms), reader.read(copies)
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=0.01)
    np.testing.assert_allclose(here.probabilities.sum(1), 1.0)
    moved = np.stack([symmetry.apply(here.atoms[:, a], operation, shift) for a in range(atoms.shape[1])], 1)
    np.testing.assert_allclose(there.atoms, moved, atol=0.02)


def test_a_residue_without_its_main_chain_is_not_read(reader: FrameReader, atoms: np.ndarray) -> None:
    broken = atoms.copy()
    broken[3, ATOMS.index("C")] = np.nan
    reading = reader.read(broken)
    np.testing.assert_allclose(reading.probabilities[3], 1 / N_LABELS)
    np.testing.assert_array_equal(reading.atoms[3], broken[3])
    assert np.isfinite(np.delete(reading.atoms, 3, 0)).all()


def test_nothing_is_read_of_nothing(reader: FrameReader) -> None:
    reading = reader.read(np.zeros((0, len(ATOMS), 3)))
    assert reading.probabilities.shape == (0, N_LABELS)
    assert reading.atoms.shape == (0, len(ATOMS), 3)


def test_atoms_in_one_place_do_no_harm(reader: FrameReader) -> None:
    assert np.isfinite(reader.read(np.ones((2, len(ATOMS), 3))).atoms).all()


def test_beyond_a_map_of_a_box_the_density_is_zero(crystal_map: DensityMap) -> None:
    part = crystal_map.values[:24, :24, :24]
    grid = MapGrid(crystal_map.cell, gemmi.SpaceGroup("P 1"), crystal_map.values.shape, (0, 0, 0))
    box = DensityMap(part, grid, 2.0, periodic=False)
    outside = boxes_of_density(box, np.array([[-50.0, -50.0, -50.0]]), np.eye(3)[None])
    assert not outside.any()


def test_the_context_is_the_mean_of_the_map() -> None:
    boxes = np.stack([np.zeros((EDGE,) * 3), np.full((EDGE,) * 3, 2.0)]).astype(np.float16)
    context = context_of(boxes, 3.0)
    assert context.shape == (N_CONTEXT,)
    np.testing.assert_allclose(context[:-1], 1.0)
    assert context[-1] == pytest.approx(0.5)
