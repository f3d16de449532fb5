"""The network of frames: what it is trained on, that it learns, and that weights keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edseg_engine.cli import main
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.errors import OptionError
from edseg_engine.labels import N_POINTS
from edseg_engine.networks.framenet import EDGE, N_CONTEXT, FrameNet
from edseg_engine.networks.weights import load_weights
from edseg_engine.pipeline import find_residues, predict_map
from edseg_engine.residues.classify import Classifier
from edseg_engine.residues.known import KnownResidues
from edseg_engine.resolution import WIDE
from edseg_engine.training.frames import (
    FrameOptions,
    FrameSet,
    FrameTraining,
    disturbed,
    gather_frames,
    train_frame_net,
)
from edseg_engine.training.windows import CrystalSource, DataOptions
from tiny_training import TINY, start_of, training_folder


def test_frames_are_as_wrong_as_votes(crystal_residues: KnownResidues) -> None:
    main_chain = np.tile(crystal_residues.points[:, 1:4], (20, 1, 1))
    main_chain = main_chain[np.isfinite(main_chain).all((1, 2))]
    error = np.linalg.norm(disturbed(main_chain, np.random.default_rng(0)) - main_chain, axis=2)
    ca = np.median(error[:, 1])
    assert 0.25 < ca < 0.45
    assert np.median(error[:, 0]) == pytest.approx(ca, rel=0.15)
    assert 0.03 < (error[:, 0] > 1.9).mean() < 0.09  # turned round


def shapes(n: int, rng: np.random.Generator) -> FrameSet:
    """Boxes whose density is in one of 17 places, and points there."""
    labels = rng.integers(0, 17, n)
    density = rng.normal(0, 0.3, (n, EDGE, EDGE, EDGE)).astype(np.float16)
    place = np.stack([labels % 4, labels // 4 % 4, labels // 16 * 2], 1) * 4
    for box, (x, y, z) in zip(density, place, strict=True):
        box[x : x + 4, y : y + 4, z : z + 4] += 2
    points = np.repeat(place[:, None] / 4.0, N_POINTS, 1)
    points[::3, 4] = np.nan
    return FrameSet(density, np.zeros((1, N_CONTEXT), np.float32), np.zeros(n, np.intp), labels, points.astype("f2"))


def fitted(some: FrameSet, report: Callable[[int, float, float], None] = lambda *_: None) -> FrameNet:
    torch.manual_seed(1)
    training = FrameTraining(FrameNet(), 25)
    training.fit(some, 25, report)
    return training.net


def test_it_learns_classes_and_points_and_is_repeatable() -> None:
    rng = np.random.default_rng(0)
    train, test = shapes(800, rng), shapes(200, rng)
    reports: list[float] = []
    net = fitted(train, lambda _, classes, points: reports.append(classes + points))
    probabilities, points = net.read(test.density, test.context[0])
    assert (probabilities.argmax(1) == test.labels).mean() > 0.9
    assert np.abs(points[:, 0] - test.points[:, 0]).mean() < 0.5
    assert np.isfinite(points).all()
    assert reports
    again = fitted(train).read(test.density, test.context[0])[0]
    np.testing.assert_array_equal(again, probabilities)


def test_weights_keep_it_and_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], crystal_map: DensityMap
) -> None:
    start, out = start_of(tmp_path), tmp_path / "frames.safetensors"
    folder = training_folder(tmp_path / "data")
    command = ["train", "frames", str(start), "--structures", str(folder), "--residues", "100"]
    assert main([*command, "--rounds", "2", "--passes", "3", "--out", str(out)]) == 0
    assert [path.name for path in tmp_path.glob("frames*")] == [out.name]
    assert "reads residues in the frames" in capsys.readouterr().out
    weights = load_weights(out)
    assert weights.frame_net is not None
    run = {"residues": 100, "rounds": 2, "passes": 3.0, "seed": 1, "start": "", "cycles": 1}
    assert weights.card.frames["runs"] == [run]
    before = load_weights(start)
    assert all(torch.equal(v, before.net.state_dict()[k]) for k, v in weights.net.state_dict().items())
    region = choose_region(crystal_map, "asu")
    prediction = predict_map(crystal_map, region, weights, torch.device("cpu"), orientations=1)
    assert prediction.reader is not None
    with_it = find_residues(prediction, Classifier(), 50)
    without = find_residues(replace(prediction, reader=None), Classifier(), 50)
    assert with_it.backbone is not None
    assert without.backbone is not None
    assert np.abs(with_it.classes.probabilities - without.classes.probabilities).max() > 0.01
    assert np.abs(with_it.backbone.atoms - without.backbone.atoms).max() > 0.1


class Killed(Exception):
    """Stands for the end of the process."""


def source_of(tmp_path: Path) -> CrystalSource:
    return CrystalSource(DataOptions(training_folder(tmp_path / "data")), WIDE)


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    options = FrameOptions(residues=100, rounds=2, passes=3, seed=4, start="")
    checkpoint = tmp_path / "checkpoint"
    whole = train_frame_net(source, options, None, tmp_path / "other", lambda _: None, lambda *_: None)

    def kill(*_: float) -> None:
        if checkpoint.exists():  # the first round is over
            raise Killed

    with pytest.raises(Killed):
        train_frame_net(source, options, None, checkpoint, lambda _: None, kill)
    gone_on = train_frame_net(source, options, None, checkpoint, lambda _: None, lambda *_: None)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(gone_on.state_dict()[name], value)
    for other in (replace(options, passes=4), replace(options, start="other weights")):
        with pytest.raises(OptionError, match="other options or weights"):
            train_frame_net(source, other, None, checkpoint, lambda _: None, lambda *_: None)


def test_residues_are_read_in_frames_that_differ(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    some = gather_frames(source, 100, [1], lambda _: None)
    half = int((some.map_of == 0).sum()) // 2
    np.testing.assert_array_equal(some.labels[:half], some.labels[half : 2 * half])
    assert np.abs(some.density[:half].astype(float) - some.density[half : 2 * half]).mean((1, 2, 3)).min() > 0.01


def test_weights_without_votes_for_atoms_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = start_of(tmp_path, replace(TINY, points=1))
    folder = training_folder(tmp_path / "data")
    out = tmp_path / "frames.safetensors"
    assert main(["train", "frames", str(start), "--structures", str(folder), "--out", str(out)]) != 0
    assert "does not vote for atoms" in capsys.readouterr().err
    assert not out.exists()
