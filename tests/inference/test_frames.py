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
from edseg_engine.inference.normalise import density_scale
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.labels import ATOMS, N_LABELS
from edseg_engine.networks.framenet import EDGE, N_CONTEXT, FrameNet, context_of
from edseg_engine.residues.classify import Classifier
from edseg_engine.residues.instances import Instances
from edseg_engine.residues.known import KnownResidues

CB = ATOMS.index("CB")


@pytest.fixture(scope="module")
def atoms(crystal_residues: KnownResidues) -> np.ndarray:
    return crystal_residues.points[:, 1:]


def boxes(density: DensityMap, atoms: np.ndarray) -> np.ndarray:
    return boxes_of_density(density, density_scale(density.values), atoms[:, CA], axes_of(atoms))


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
    box, copied = (boxes(crystal_map, a) for a in (few, copies))
    # Tricubic interpolation along skew axes is not quite the same in all directions.
    difference = np.abs(copied.astype(np.float32) - box)
    assert np.median(difference) < 0.03
    assert difference.max() < 0.3


def test_boxes_hold_the_residue(crystal_map: DensityMap, atoms: np.ndarray) -> None:
    mean = boxes(crystal_map, atoms).mean(0, dtype=np.float64)
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
    assert np.isnan(reading.probabilities[3]).all()
    assert np.isfinite(np.delete(reading.probabilities, 3, 0)).all()
    np.testing.assert_array_equal(reading.atoms[3], broken[3])
    assert np.isfinite(np.delete(reading.atoms, 3, 0)).all()


def test_nothing_is_read_of_nothing(reader: FrameReader) -> None:
    reading = reader.read(np.zeros((0, len(ATOMS), 3)))
    assert reading.probabilities.shape == (0, N_LABELS)
    assert reading.atoms.shape == (0, len(ATOMS), 3)


def test_atoms_in_one_place_are_not_read(reader: FrameReader) -> None:
    reading = reader.read(np.ones((2, len(ATOMS), 3)))
    assert np.isnan(reading.probabilities).all()
    assert (reading.atoms == 1).all()


def test_many_residues_are_read_as_few(reader: FrameReader, atoms: np.ndarray) -> None:
    many = np.tile(atoms, (12, 1, 1))
    reports: list[float] = []
    reading = reader.read(many, lambda progress: reports.append(progress.fraction))
    few = reader.read(atoms)
    np.testing.assert_allclose(reading.atoms[: len(atoms)], few.atoms, atol=0.1)
    assert reports[-1] == 1.0
    assert len(reports) > 1


@pytest.mark.parametrize(("sure", "share"), [(0.95, 0.38), (0.5, 0.65), (0.2, 0.83)])
def test_frames_count_more_where_voxels_are_unsure(sure: float, share: float) -> None:
    said = np.full((2, N_LABELS), (1 - sure) / 16)
    said[:, 4] = sure
    members = np.repeat([0, 1], 5)
    voxels = VoxelPrediction(
        np.arange(10),
        np.zeros((10, 3), np.float32),
        np.zeros((10, 3), np.float32),
        said[members].astype(np.float16),
        np.ones(10, np.float32),
    )
    instances = Instances(np.zeros((2, 3)), members, np.ones(2), np.zeros(2))
    in_frames = np.full((2, N_LABELS), np.nan)
    in_frames[1] = 1 / N_LABELS
    alone = Classifier().raw(instances, voxels)
    both = Classifier().raw(instances, voxels, in_frames)
    np.testing.assert_allclose(both[0], alone[0], err_msg="what is not read is as the voxels say")
    expected = alone[1] ** (1 - share)
    np.testing.assert_allclose(both[1], expected / expected.sum(), rtol=0.01)


def test_beyond_a_map_of_a_box_nothing_is_read(crystal_map: DensityMap, reader: FrameReader, atoms: np.ndarray) -> None:
    part = crystal_map.values[:24, :24, :24]
    grid = MapGrid(crystal_map.cell, gemmi.SpaceGroup("P 1"), crystal_map.values.shape, (0, 0, 0))
    box = DensityMap(part, grid, 2.0, periodic=False)
    far = atoms[:3] - 200.0
    assert not boxes(box, far).any()
    reading = FrameReader(box, reader.net).read(far)
    assert np.isnan(reading.probabilities).all()
    np.testing.assert_array_equal(reading.atoms, far)


def test_the_context_is_the_mean_of_the_map() -> None:
    boxes = np.stack([np.zeros((EDGE,) * 3), np.full((EDGE,) * 3, 2.0)]).astype(np.float16)
    context = context_of(boxes, 3.0)
    assert context.shape == (N_CONTEXT,)
    np.testing.assert_allclose(context[:-1], 1.0)
    assert context[-1] == pytest.approx(0.5)
