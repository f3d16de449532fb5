"""From instances to classes: summed probabilities, features that ignore orientation, the classifier of residues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edseg_engine.dataset.labelled import random_rotation
from edseg_engine.inference.predict import VoxelPrediction, pooled
from edseg_engine.labels import N_POINTS
from edseg_engine.networks.card import Calibration, WeightsCard, WeightsInfo
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import Weights, choose_weights, load_state, load_weights, save_weights
from edseg_engine.residues.classify import Classifier, classify
from edseg_engine.residues.features import N_FEATURES, residue_features
from edseg_engine.residues.instances import Instances
from edseg_engine.resolution import RANGES, range_by_name
from edseg_engine.training.classifier import ResidueSet, fit_residue_net

TINY = StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1))


def some_voxels(k: int, n: int, rng: np.random.Generator) -> tuple[Instances, VoxelPrediction]:
    """Residues of n voxels each, some voxels of none between them."""
    members = np.repeat(np.arange(-1, k), n).astype(np.intp)
    positions = rng.normal(0, 2.0, (len(members), 3)) + 6.0 * members[:, None]
    votes = 6.0 * members[:, None] + rng.normal(0, 0.3, positions.shape)
    p = rng.dirichlet(np.full(18, 0.3), len(members))[:, :17].astype(np.float16)
    weights = np.bincount(members[n:], p.sum(1, dtype=np.float64)[n:], minlength=k)
    instances = Instances(6.0 * np.arange(k)[:, None] * np.ones(3), members, weights, np.full(k, 0.5))
    arrays = (positions.astype(np.float32), votes.astype(np.float32), p, rng.random(len(members), np.float32))
    return instances, VoxelPrediction(np.arange(len(members)), *arrays)


def no_voxels() -> tuple[Instances, VoxelPrediction]:
    nothing = np.zeros(0, np.intp)
    xyz = np.zeros((0, 3), np.float32)
    prediction = VoxelPrediction(nothing, xyz, xyz, np.zeros((0, 17), np.float16), np.zeros(0, np.float32))
    return Instances(np.zeros((0, 3)), nothing, np.zeros(0), np.zeros(0)), prediction


def test_classes_are_the_mean_of_the_voxels_without_a_classifier() -> None:
    instances, prediction = some_voxels(2, 10, np.random.default_rng(0))
    probabilities = np.zeros((30, 17), np.float16)
    probabilities[10:20, 3], probabilities[10:20, 5], probabilities[20:, 8] = 0.5, 0.25, 0.9
    prediction = replace(prediction, probabilities=probabilities)
    classes = classify(instances, prediction, Classifier())
    assert classes.probabilities[0, 3] == pytest.approx(2 / 3, abs=1e-3)
    assert classes.probabilities[1].argmax() == 8
    assert classes.n_voxels.tolist() == [10, 10]
    np.testing.assert_allclose(classes.probabilities.sum(1), 1.0)
    np.testing.assert_allclose(classes.confidence, classes.probabilities.max(1), atol=1e-3)
    softer = classify(instances, prediction, Classifier(calibration=Calibration(temperature=0.5)))
    assert softer.probabilities[0, 3] < classes.probabilities[0, 3]


def test_what_is_read_in_frames_counts_as_far_as_it_is_trusted() -> None:
    instances, prediction = some_voxels(3, 10, np.random.default_rng(0))
    in_frames = np.full((3, 17), 0.01)
    in_frames[:, 4] = 0.84
    in_frames[2] = np.nan
    less, more = (
        classify(instances, prediction, Classifier(trust=trust), in_frames).probabilities for trust in (0.0, 1.0)
    )
    alone = classify(instances, prediction, Classifier()).probabilities
    np.testing.assert_allclose(less, alone)
    assert (more[:2, 4] > alone[:2, 4] + 0.05).all()
    np.testing.assert_allclose(more[2], alone[2], err_msg="it was not read")


def test_what_runs_beside_is_trusted_less_in_coarse_maps() -> None:
    trust = [Classifier.of(choose_weights(None, resolution_range)).trust for resolution_range in RANGES]
    assert trust[:2] == [1.0, 1.0]
    assert 0 < trust[2] < 1


def test_nothing_is_trusted_less_where_nothing_runs_beside(tmp_path: Path) -> None:
    config = StackNetConfig(widths=(4, 8, 8), blocks=(1, 1, 1), points=N_POINTS)
    path = tmp_path / "own.safetensors"
    save_weights(StackNet(config).state_dict(), WeightsCard(range_by_name("low"), config), path)
    assert Classifier.of(load_weights(path)).trust == 1.0


def test_weights_for_all_resolutions_are_not_for_coarse_maps_alone(tmp_path: Path) -> None:
    config = StackNetConfig(widths=(4, 8, 8), blocks=(1, 1, 1))
    path = tmp_path / "own.safetensors"
    save_weights(StackNet(config).state_dict(), WeightsCard(range_by_name("wide"), config), path)
    assert Classifier.of(load_weights(path)).trust == 1.0


@pytest.mark.parametrize("net", [None, ResidueNet(N_FEATURES, 8).eval()])
def test_no_residues_have_no_classes(net: ResidueNet | None) -> None:
    assert classify(*no_voxels(), Classifier(net)).probabilities.shape == (0, 17)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6), n=st.integers(1, 60))
def test_features_ignore_place_orientation_and_order(seed: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    instances, prediction = some_voxels(k, n, rng)
    features = residue_features(instances, prediction)
    assert features.shape == (k, N_FEATURES)
    assert np.isfinite(features).all()
    rotation, shift = random_rotation(rng), rng.normal(0, 50, 3)
    order = rng.permutation(len(instances.members))
    turned = VoxelPrediction(
        prediction.index[order],
        (prediction.positions @ rotation.T + shift)[order].astype(np.float32),
        (prediction.votes @ rotation.T + shift)[order].astype(np.float32),
        prediction.probabilities[order],
        prediction.density[order],
    )
    again = residue_features(replace(instances, members=instances.members[order]), turned)
    # A voxel may change its shell by rounding; it carries 1/n of the shell's probabilities.
    np.testing.assert_allclose(np.median(np.abs(again - features)), 0, atol=1e-3)
    means = slice(0, 51)
    np.testing.assert_allclose(again[:, means], features[:, means], atol=5e-3)
    np.testing.assert_allclose(again[:, -9:], features[:, -9:], atol=2e-2)


def test_the_same_view_twice_says_the_same() -> None:
    instances, prediction = some_voxels(5, 30, np.random.default_rng(2))
    twice = replace(instances, members=np.tile(instances.members, 2), votes=2 * instances.votes)
    both = pooled([prediction, prediction])
    np.testing.assert_allclose(residue_features(twice, both), residue_features(instances, prediction), atol=1e-4)
    one, two = classify(instances, prediction, Classifier()), classify(twice, both, Classifier())
    assert one.n_voxels.tolist() == two.n_voxels.tolist()
    np.testing.assert_allclose(two.confidence, one.confidence, atol=1e-3)


def test_a_classifier_has_half_a_say() -> None:
    torch.manual_seed(0)
    instances, prediction = some_voxels(5, 30, np.random.default_rng(2))
    net = ResidueNet(N_FEATURES, 8).eval()
    summed, both = (Classifier(n).raw(instances, prediction) for n in (None, net))
    expected = np.sqrt(summed * net.probabilities(residue_features(instances, prediction)))
    np.testing.assert_allclose(both, expected / expected.sum(1, keepdims=True))


def separable(n: int, rng: np.random.Generator) -> ResidueSet:
    labels = rng.integers(0, 17, n)
    features = rng.normal(0, 1, (n, N_FEATURES)).astype(np.float32) * 3 + 7
    features[np.arange(n), labels] += 12
    return ResidueSet(features, labels)


def test_the_classifier_learns_and_is_repeatable() -> None:
    rng = np.random.default_rng(0)
    train, test = separable(3000, rng), separable(500, rng)
    net = fit_residue_net(train, seed=1)
    p = net.probabilities(test.features)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert (p.argmax(1) == test.labels).mean() > 0.8
    np.testing.assert_array_equal(fit_residue_net(train, seed=1).probabilities(test.features), p)


def test_weights_keep_their_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    instances, prediction = some_voxels(4, 20, np.random.default_rng(1))
    net = ResidueNet(N_FEATURES, 16).eval()
    net.standardize(torch.from_numpy(residue_features(instances, prediction)))
    card = WeightsCard(range_by_name("high"), TINY, classifier={"crystals": 3})
    weights = Weights(StackNet(TINY).eval(), card, WeightsInfo("", "", 1.8, 2.5), net)
    weights.save(tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.card == card
    classes, same = (classify(instances, prediction, Classifier.of(w)).probabilities for w in (weights, loaded))
    np.testing.assert_allclose(same, classes, atol=0.02)
    summed = classify(instances, prediction, Classifier()).probabilities
    assert np.abs(summed - classes).max() > 0.05
    load_state(StackNet(TINY), tmp_path / "w.safetensors")  # the network alone is what training starts from
