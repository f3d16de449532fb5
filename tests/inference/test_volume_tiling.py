"""From a map to voxels: scale, low-pass, region, tiles, and the network on tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.inference.normalise import density_scale, normalise
from edseg_engine.inference.orientations import Orientation, orientations, views
from edseg_engine.inference.predict import _predict_tiles, pooled, predict_views, predict_voxels
from edseg_engine.inference.tiling import GRANULE, plan_tiles
from edseg_engine.inference.volume import Volume, prepare_volumes
from edseg_engine.networks.architectures import build
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import choose_weights
from edseg_engine.options import MOST_VIEWS
from edseg_engine.progress import ignore_progress
from edseg_engine.resolution import RANGES
from tiny_training import TINY_DENSE

HIGH = RANGES[0]


@pytest.fixture(scope="module")
def volume(crystal_map: DensityMap) -> Volume:
    return prepare_volumes(crystal_map, choose_region(crystal_map, "asu"), HIGH)[0]


@settings(max_examples=25, deadline=None)
@given(a=st.floats(1e-4, 1e4), b=st.floats(-100, 100))
def test_the_scale_of_a_map_does_not_matter(a: float, b: float) -> None:
    values = np.random.default_rng(0).gamma(0.7, 1.0, (20, 20, 20)).astype(np.float32)
    other = (values.astype(np.float64) * a + b * a).astype(np.float32)
    expected = normalise(values, *density_scale(values))
    assert np.abs(normalise(other, *density_scale(other)) - expected).max() < 0.01


def test_the_scale_does_not_depend_on_the_solvent_content() -> None:
    rng = np.random.default_rng(0)
    protein = rng.normal(0, 1, 100_000).astype(np.float32)
    solvent = rng.normal(0, 0.1, 300_000).astype(np.float32)
    _, alone = density_scale(protein)
    _, diluted = density_scale(np.concatenate([protein, solvent]))
    assert diluted == pytest.approx(alone, rel=0.06)
    assert np.concatenate([protein, solvent]).std() < 0.6 * protein.std()


def test_a_map_in_other_units_gives_the_same_volume(crystal_map: DensityMap, volume: Volume) -> None:
    z = replace(crystal_map, values=crystal_map.values * np.float32(37.5) - np.float32(4.2))
    (other,) = prepare_volumes(z, choose_region(z, "asu"), HIGH)
    np.testing.assert_allclose(other.values, volume.values, atol=5e-3)


@pytest.mark.parametrize("view", [0, 1, 2])
def test_the_volume_reads_the_density_where_it_says(crystal_map: DensityMap, view: int) -> None:
    region = choose_region(crystal_map, "asu")
    volume = prepare_volumes(crystal_map, region, HIGH, 3)[view]
    index = np.flatnonzero(volume.occupied.reshape(-1))[::997]
    low_passed = crystal_map.low_passed(HIGH.d_min) if (crystal_map.d_min or 0) < HIGH.d_min else crystal_map
    offset, scale = density_scale(low_passed.values)
    for flat, xyz in zip(index, volume.positions(index), strict=True):
        value = low_passed.sample(xyz, None, (1, 1, 1), 1.0)[0, 0, 0]
        assert volume.values.reshape(-1)[flat] == pytest.approx(min((value - offset) / scale, 5.0), abs=1e-3)
    assert region.contains(volume.positions(index)).all()


def test_every_view_holds_the_whole_region(crystal_map: DensityMap, volume: Volume) -> None:
    for turned in prepare_volumes(crystal_map, choose_region(crystal_map, "asu"), HIGH, 4):
        assert turned.occupied.sum() == pytest.approx(volume.occupied.sum(), rel=0.02)
        # The margin that the network needs around the region is there, too.
        filled = np.argwhere(turned.occupied)
        assert filled.min() >= HIGH.frame - 1
        assert (filled.max(0) <= np.array(turned.values.shape) - HIGH.frame).all()


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(5, 70)] * 3),
    seed=st.integers(0, 1000),
    share=st.sampled_from([0.0005, 0.02, 0.5, 1.0]),
    largest=st.sampled_from([32, 48, 128]),
)
def test_every_occupied_voxel_is_in_exactly_one_core(
    shape: tuple[int, int, int], seed: int, share: float, largest: int
) -> None:
    occupied = np.random.default_rng(seed).random(shape) < share
    covered = np.zeros(shape, int)
    frame = 4
    for tile in plan_tiles(occupied, frame, largest):
        covered[tile.core] += 1
        for axis, (core, outer) in enumerate(zip(tile.core, tile.outer, strict=True)):
            assert outer.start == 0 or outer.start <= core.start - frame
            assert outer.stop == shape[axis] or outer.stop >= core.stop + frame
            assert outer.start % GRANULE == 0
            assert outer.stop - outer.start <= largest + GRANULE
    assert (covered[occupied] == 1).all()
    assert covered.max(initial=0) <= 1


def test_nothing_is_planned_where_there_is_no_density() -> None:
    assert plan_tiles(np.zeros((30, 30, 30), bool), 8, 128) == []


def test_tiles_give_what_one_large_block_gives(volume: Volume) -> None:
    torch.manual_seed(0)
    net = StackNet(StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1)))
    device = torch.device("cpu")
    whole = predict_voxels(net, volume, HIGH, device, ignore_progress)
    assert len(whole.index) == volume.occupied.sum()
    np.testing.assert_allclose(whole.probabilities.astype(float).sum(1).max(), 1.0, atol=0.05)
    # With a frame as wide as the field of view the tiles cannot see where they end.
    tiles = plan_tiles(volume.occupied, 24, 72)
    assert len(tiles) > 1
    net = net.for_inference(device, torch.float32)
    narrow = _predict_tiles(net, volume, tiles, orientations(1), device, ignore_progress)
    np.testing.assert_array_equal(narrow.index, whole.index)
    difference = np.abs(narrow.probabilities.astype(float) - whole.probabilities.astype(float))
    assert np.quantile(difference, 0.99) < 0.02


def test_a_network_of_fixed_windows_gets_none_that_are_larger(volume: Volume) -> None:
    torch.manual_seed(0)
    net = build(TINY_DENSE)
    read: list[torch.Size] = []
    net.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0].shape))
    narrow = replace(HIGH, window=40)
    prediction = predict_voxels(net, volume, narrow, torch.device("cpu"), ignore_progress, 2)
    assert len(read) > 2
    assert max(max(shape[2:]) for shape in read) <= narrow.window + GRANULE
    assert len(prediction) == volume.occupied.sum()
    assert np.isfinite(prediction.probabilities).all()
    assert np.isnan(prediction.votes).all(), "it does not vote"
    assert prediction.atoms is None


def test_the_24_orientations_are_rotations_and_all_different() -> None:
    matrices = [o.matrix for o in orientations(24)]
    assert all(round(np.linalg.det(m)) == 1 for m in matrices)
    assert len({m.tobytes() for m in matrices}) == 24
    np.testing.assert_array_equal(matrices[0], np.eye(3))


def test_views_are_rotations_and_their_grids_lie_apart() -> None:
    matrices = views(MOST_VIEWS)
    np.testing.assert_array_equal(matrices[0], np.eye(3))
    grid = [o.matrix for o in orientations(24)]
    for number, a in enumerate(matrices):
        np.testing.assert_allclose(a @ a.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(a) == pytest.approx(1.0)
        cosines = [(np.trace(a.T @ b @ g) - 1) / 2 for b in matrices[:number] for g in grid]
        assert max(cosines, default=-1.0) < np.cos(np.radians(25))


def test_the_votes_of_a_view_point_where_those_of_the_first_do(crystal_map: DensityMap) -> None:
    net = choose_weights(None, HIGH).net
    volumes = prepare_volumes(crystal_map, choose_region(crystal_map, "asu"), HIGH, 2)
    one, other = predict_views(net, volumes, HIGH, torch.device("cpu"), ignore_progress)
    distance, nearest = cKDTree(other.positions).query(one.positions)
    both = (distance < 0.5) & (one.weights > 0.7)
    assert both.sum() > 1000
    apart = np.linalg.norm(one.votes - other.votes[nearest], axis=1)[both]
    assert np.median(apart) < 0.5
    together = pooled([one, other])
    assert together.views == 2
    assert len(together) == len(one) + len(other)


@pytest.mark.parametrize("turn", orientations(24), ids=str)
def test_turning_and_turning_back(turn: Orientation) -> None:
    field = torch.randn(3, 4, 5, 6)
    torch.testing.assert_close(turn.inverse.turn(turn.turn(field)), field)
    # A field of vectors that point at the centre still points there when its places and directions are turned.
    axes = [torch.arange(n) - (n - 1) / 2 for n in (5, 5, 5)]
    to_centre = -torch.stack(torch.meshgrid(*axes, indexing="ij"))
    torch.testing.assert_close(turn.inverse.turn_vectors(to_centre), to_centre)
    # One voxel with one vector: turned by hand.
    place, vector = torch.tensor([1.0, -2.0, 2.0]), torch.tensor([0.3, 0.7, -0.4])
    matrix = torch.tensor(turn.matrix, dtype=torch.float32)
    turned = torch.zeros(3, 5, 5, 5)
    i, j, k = (matrix @ place + 2).round().int().tolist()
    turned[:, i, j, k] = matrix @ vector
    back = turn.inverse.turn_vectors(turned)
    torch.testing.assert_close(back[:, 3, 0, 4], vector)
