"""The network of neighbours: what it is trained on, that it learns, and that weights keep it and use it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edseg_engine.cli import main
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.errors import OptionError
from edseg_engine.inference.neighbours import N_NEIGHBOURS
from edseg_engine.labels import ATOMS, N_LABELS
from edseg_engine.networks.framenet import FrameNet
from edseg_engine.networks.neighbournet import NeighbourNet
from edseg_engine.networks.weights import load_weights
from edseg_engine.pipeline import find_residues, predict_map
from edseg_engine.residues.classify import Classifier
from edseg_engine.resolution import WIDE
from edseg_engine.training import readings as reading
from edseg_engine.training.neighbours import NeighbourOptions, NeighbourTraining, train_neighbour_net
from edseg_engine.training.readings import ReadingOptions, Readings, gather_readings
from edseg_engine.training.windows import DataOptions
from tiny_training import start_of, training_folder


def chains(n_maps: int, seed: int) -> Readings:
    """Residues on a line whose class is that of the one before plus one; the density tells it of every other one."""
    rng, k = np.random.default_rng(seed), 40
    parts = []
    for _ in range(n_maps):
        labels = (rng.integers(N_LABELS) + np.arange(k)) % N_LABELS
        probabilities = np.full((k, N_LABELS), 1 / N_LABELS, np.float32)
        probabilities[::2] = 0.002
        probabilities[np.arange(0, k, 2), labels[::2]] = 1 - 16 * 0.002
        offsets = np.append(0, np.stack([np.arange(1, 4), -np.arange(1, 4)], 1))
        nearest = np.full((k, 1 + N_NEIGHBOURS), -1, np.int16)
        nearest[:, :7] = np.arange(k)[:, None] + offsets
        nearest[nearest >= k] = -1
        atoms = rng.normal(0, 0.05, (k, 1 + N_NEIGHBOURS, len(ATOMS), 3))
        atoms[:, :7, :, 1] += 3.8 * offsets[:, None] + np.linspace(-1, 1, len(ATOMS))
        atoms[nearest < 0] = 0.0
        of_map = np.array([[2.5, 0.5]], np.float32)
        fields = np.array([k]), of_map, probabilities, nearest, atoms.astype(np.float16), labels.astype(np.int8)
        parts.append(Readings(*fields))
    return Readings.joined(parts)


def test_it_learns_from_neighbours_and_is_repeatable() -> None:
    train, test = chains(80, 1), chains(5, 2)
    nets = []
    reports: list[tuple[float, float]] = []
    for _ in range(2):
        torch.manual_seed(0)
        training = NeighbourTraining(NeighbourNet(32, 2), 15)
        for number in range(15):
            rng = np.random.default_rng(number)
            training.fit(train, number, rng, lambda _, loss, before: reports.append((loss, before)))
        nets.append(training.net)
    assert reports[0][0] > 0.9 * reports[0][1]
    # Residues that are missing, or told of no neighbour, keep it above zero.
    assert reports[-1][0] < 0.75 * reports[-1][1]
    unread, right = 1 + 2 * np.arange(20), []
    for start in range(0, len(test), 40):
        rows = slice(start, start + 40)
        nearest = test.nearest[rows].astype(np.intp)
        told = test.probabilities[rows].astype(np.float64)
        read, again = (net.read(told, 2.5, nearest, test.atoms[rows].astype(np.float32)) for net in nets)
        np.testing.assert_array_equal(again, read)
        right.append(read[unread].argmax(1) == test.labels[rows][unread])
    assert np.mean(right) > 0.8


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    options = NeighbourOptions(residues=800, passes=3, seed=4, frames="weights")
    checkpoint, gathered = tmp_path / "checkpoint", []

    def gather() -> Readings:
        gathered.append(1)
        return chains(20, 3)

    whole = train_neighbour_net(gather, options, tmp_path / "other", lambda *_: None)

    def kill(passes: int, *_: float) -> None:
        if passes:
            raise Killed

    with pytest.raises(Killed):
        train_neighbour_net(gather, options, checkpoint, kill)
    passes: set[int] = set()
    gone_on = train_neighbour_net(gather, options, checkpoint, lambda number, *_: passes.add(number))
    assert passes == {1, 2}
    assert len(gathered) == 2
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(gone_on.state_dict()[name], value)
    for other in (replace(options, passes=4), replace(options, frames="others")):
        with pytest.raises(OptionError, match="other options or weights"):
            train_neighbour_net(gather, other, checkpoint, lambda *_: None)


@pytest.fixture(scope="module")
def weights_with_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    weights = load_weights(start_of(folder))
    torch.manual_seed(2)
    replace(weights, frame_net=FrameNet(4, 16).eval()).save(folder / "frames.safetensors")
    return folder / "frames.safetensors"


def test_readings_do_not_depend_on_the_jobs(
    tmp_path: Path, weights_with_frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PART", 60)
    data, net = DataOptions(training_folder(tmp_path / "data")), load_weights(weights_with_frames).frame_net
    assert net is not None
    options = ReadingOptions(data, WIDE, net, 1)
    reports: list[int] = []
    one, two = (gather_readings(options, 150, jobs, reports.append) for jobs in (1, 2))
    assert len(reports) == 6
    assert len(one) == int(one.sizes.sum()) == reports[2] >= 150
    assert one.nearest.max() < one.sizes.max()
    np.testing.assert_allclose(one.probabilities.sum(1), 1.0, atol=1e-5)
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(two, name), value, err_msg=name)


def test_weights_keep_it_and_use_it(
    tmp_path: Path, weights_with_frames: Path, capsys: pytest.CaptureFixture[str], crystal_map: DensityMap
) -> None:
    out, folder = tmp_path / "neighbours.safetensors", training_folder(tmp_path / "data")
    command = ["train", "neighbours", str(weights_with_frames), "--structures", str(folder), "--residues", "100"]
    assert main([*command, "--passes", "2", "--out", str(out)]) == 0
    assert [path.name for path in tmp_path.glob("neighbours*")] == [out.name]
    assert "among their neighbours" in capsys.readouterr().out
    weights, before = load_weights(out), load_weights(weights_with_frames)
    assert weights.neighbour_net is not None
    run = {"residues": 100, "passes": 2, "seed": 1, "frames": before.info.sha256}
    assert weights.card.neighbours == run
    assert weights.frame_net is not None
    assert weights.neighbour_net.head.weight.abs().max() > 0
    for kept, first in ((weights.net, before.net), (weights.frame_net, before.frame_net)):
        assert first is not None
        assert all(torch.equal(v, first.state_dict()[k]) for k, v in kept.state_dict().items())
    torch.nn.init.normal_(weights.neighbour_net.head.weight)
    region = choose_region(crystal_map, "asu")
    prediction = predict_map(crystal_map, region, weights, torch.device("cpu"), orientations=1)
    with_it = find_residues(prediction, Classifier(), 50)
    without = find_residues(replace(prediction, neighbour_net=None), Classifier(), 50)
    assert np.abs(with_it.classes.probabilities - without.classes.probabilities).max() > 0.01
    assert with_it.backbone is not None
    assert without.backbone is not None
    np.testing.assert_array_equal(with_it.backbone.atoms, without.backbone.atoms)


def test_new_frames_need_new_neighbours(tmp_path: Path, weights_with_frames: Path) -> None:
    both, out = tmp_path / "both.safetensors", tmp_path / "new.safetensors"
    weights = load_weights(weights_with_frames)
    card = replace(weights.card, neighbours={"seed": 1})
    replace(weights, card=card, neighbour_net=NeighbourNet(16, 2)).save(both)
    assert load_weights(both).neighbour_net is not None
    command = ["train", "frames", str(both), "--structures", str(training_folder(tmp_path / "data"))]
    assert main([*command, "--residues", "100", "--rounds", "1", "--out", str(out)]) == 0
    assert load_weights(out).neighbour_net is None
    assert load_weights(out).card.neighbours == {}


def test_weights_without_a_network_of_frames_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, out = start_of(tmp_path), tmp_path / "neighbours.safetensors"
    command = ["train", "neighbours", str(start), "--structures", str(training_folder(tmp_path / "data"))]
    assert main([*command, "--out", str(out)]) != 0
    assert "no network of frames" in capsys.readouterr().err
    assert not out.exists()
