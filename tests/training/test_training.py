"""Network, losses, weights and the training loop."""

from __future__ import annotations

import csv
import itertools
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edseg_engine.cli import main
from edseg_engine.dataset.labelled import IGNORED
from edseg_engine.errors import OptionError, TrainingDataError, WeightsError
from edseg_engine.labels import BACKGROUND, N_CLASSES, N_POINTS
from edseg_engine.networks.card import Calibration, WeightsCard
from edseg_engine.networks.network import OFFSET_SCALE
from edseg_engine.networks.stacknet import StackNet
from edseg_engine.networks.weights import load_weights, save_weights
from edseg_engine.resolution import range_by_name
from edseg_engine.training.cross_entropy import CrossEntropyLoss
from edseg_engine.training.loss import Loss, frame_weights
from edseg_engine.training.options import TrainOptions, learning_rate_factor
from edseg_engine.training.thesis_loss import ThesisLoss
from places import CRYSTAL
from tiny_training import TINY, arguments, training_folder


@pytest.mark.parametrize("shape", [(16, 16, 16), (12, 20, 8), (13, 18, 31), (5, 6, 7)])
def test_any_window_size_goes_through(shape: tuple[int, int, int]) -> None:
    net = StackNet(TINY).eval()
    with torch.inference_mode():
        scores, offsets = net(torch.randn(2, 1, *shape))
    assert scores.shape == (2, N_CLASSES, *shape)
    assert offsets.shape == (2, 3 * TINY.points, *shape)


def test_the_network_sees_its_neighbourhood_alike_everywhere() -> None:
    torch.manual_seed(0)
    net = StackNet(TINY).eval()
    x = torch.zeros(1, 1, 64, 64, 64)
    x[0, 0, 30:34, 30:34, 30:34] = 3.0
    with torch.inference_mode():
        here, _ = net(x)
        there, _ = net(torch.roll(x, (4, -4, 4), (2, 3, 4)))
    shifted = torch.roll(here, (4, -4, 4), (2, 3, 4))
    inner = (slice(None), slice(None), slice(24, 44), slice(24, 44), slice(24, 44))
    torch.testing.assert_close(there[inner], shifted[inner], atol=1e-4, rtol=1e-3)


def test_the_form_for_inference_says_the_same() -> None:
    torch.manual_seed(0)
    net = StackNet(TINY)
    x = torch.randn(2, 1, 16, 16, 16)
    for _ in range(3):  # let the normalisations see something
        net(x * 2 + 0.5)
    net.eval()
    fast = net.for_inference(torch.device("cpu"), torch.float32)
    half = net.for_inference(torch.device("cpu"), torch.bfloat16)
    with torch.inference_mode():
        for a, b, c in zip(net(x), fast(x), half(x.bfloat16()), strict=True):
            torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-3)
            assert (c.float() - a).abs().mean() < 0.05 * a.abs().mean() + 0.02
    assert isinstance(net.stem[1], torch.nn.BatchNorm3d)


def test_frame_weights_fall_towards_the_border() -> None:
    w = frame_weights(36, 8.0)
    assert w.shape == (36, 36, 36)
    assert w[18, 18, 18] == 1.0
    assert 0 < w[0, 18, 18] < w[4, 18, 18] < 1
    torch.testing.assert_close(w, w.flip(0))
    torch.testing.assert_close(w, w.permute(2, 0, 1))


def perfect_batch() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    classes = torch.randint(0, N_CLASSES, (2, 8, 8, 8))
    residues = torch.randint(0, 5, (2, 8, 8, 8), dtype=torch.int16)
    points = torch.rand(2, 6, N_POINTS, 3) * 12 - 2
    points[:, 3, 4] = torch.nan
    batch = {"density": torch.ones(2, 1, 8, 8, 8), "classes": classes.to(torch.int8)}
    batch |= {"residues": residues, "points": points}
    scores = torch.nn.functional.one_hot(classes, N_CLASSES).permute(0, 4, 1, 2, 3) * 30.0
    voxels = torch.stack(torch.meshgrid(*[torch.arange(8.0)] * 3, indexing="ij"), -1)[..., None, :]
    offsets = torch.stack([p[r.long()] - voxels for p, r in zip(points, residues, strict=True)])
    return batch, scores, offsets.flatten(4).permute(0, 4, 1, 2, 3).nan_to_num(7.0) / OFFSET_SCALE


def test_losses_vanish_for_the_truth_and_only_there() -> None:
    batch, scores, offsets = perfect_batch()
    loss = CrossEntropyLoss(torch.ones(8, 8, 8), 10_000)
    right = loss(scores, offsets, batch)
    assert right.total < 1e-3
    assert right.accuracy == pytest.approx(1.0)
    assert loss(scores.roll(1, 1), offsets, batch).terms["class_loss"] > 5
    moved = loss(scores, offsets + 0.5, batch).terms
    assert moved["offset_loss"] > 0.5
    assert moved["atom_loss"] > 0.5
    only_atoms = loss(scores, offsets + 0.5 * (torch.arange(24) == 5).view(1, 24, 1, 1, 1), batch).terms
    assert only_atoms["offset_loss"] < 1e-6 < only_atoms["atom_loss"]
    # A network that votes for centroids alone, or not at all, is trained by the same call.
    for points in (1, 0):
        fewer = loss(scores, offsets[:, : 3 * points], batch)
        assert fewer.total < 1e-3
        assert fewer.terms["atom_loss"] == 0


@pytest.mark.parametrize(
    "loss", [CrossEntropyLoss(torch.ones(8, 8, 8), 100), ThesisLoss(torch.ones(8, 8, 8))], ids=["product", "thesis"]
)
def test_ignored_and_empty_voxels_do_not_count(loss: Loss) -> None:
    batch, scores, offsets = perfect_batch()
    wrong = scores.roll(1, 1)
    ignored = {**batch, "classes": torch.full_like(batch["classes"], IGNORED)}
    empty = {**batch, "density": torch.zeros(2, 1, 8, 8, 8)}
    for nothing in (ignored, empty):
        terms = loss(wrong, offsets, nothing).terms
        assert all(value == 0 for name, value in terms.items() if name != "delta")
    background = {**batch, "classes": torch.full_like(batch["classes"], BACKGROUND)}
    assert loss(scores, offsets + 9, background).terms["offset_loss"] == 0


def test_the_learning_rate_warms_up_and_ends_low() -> None:
    options = TrainOptions(windows=1000, warmup=100)
    factors = [learning_rate_factor(n / 1000, n, options) for n in range(0, 1001, 10)]
    assert factors[0] < 0.1
    assert max(factors) == pytest.approx(1.0, abs=0.03)
    assert factors[-1] == pytest.approx(0.01)
    assert all(b <= a for a, b in itertools.pairwise(factors[10:]))
    resumed = [learning_rate_factor(n / 1000, n - 500, options) for n in (500, 550, 600, 700)]
    assert resumed[0] < 0.1 * factors[50]
    assert resumed[1] == pytest.approx(0.52 * factors[55], rel=0.1)
    assert resumed[2:] == pytest.approx([factors[60], factors[70]])


def test_weights_survive_a_round_trip_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = StackNet(TINY).eval()
    card = WeightsCard(range_by_name("high"), TINY, {"windows": 7}, calibration=Calibration(temperature=0.9))
    save_weights(net.state_dict(), card, tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.card == card
    x = torch.randn(1, 1, 12, 12, 12)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.net(x)[0], net(x)[0], atol=0.02, rtol=0.02)
    assert len(loaded.info.sha256) == 64


def test_a_wrong_weights_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(path)
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="does not hold weights of edseg"):
        load_weights(path)
    card = WeightsCard(range_by_name("high"), TINY)
    save_weights({"a": torch.zeros(3)}, card, path)
    with pytest.raises(WeightsError, match="does not hold all"):
        load_weights(path)
    save_weights(StackNet(replace(TINY, widths=(8, 8, 8))).state_dict(), card, path)
    with pytest.raises(WeightsError, match="does not fit"):
        load_weights(path)


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A training run that was killed as soon as it had written a checkpoint."""
    folder = tmp_path_factory.mktemp("training")
    data, out = training_folder(folder / "data"), folder / "run"
    command = [sys.executable, "-m", "edseg_engine", *arguments(data, out, 100_000), "--checkpoint-seconds", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "low.safetensors").exists():  # written after the checkpoint
        assert process.poll() is None, "training ended early"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return data, out


def test_a_killed_run_goes_on_where_it_was(killed_run: tuple[Path, Path]) -> None:
    data, out = killed_run
    seen = torch.load(out / "checkpoint.pt", weights_only=True)["windows"]
    assert seen > 0
    assert load_weights(out / "low.safetensors").card.training["windows"] > 0
    (data / "val").mkdir()
    shutil.copy(CRYSTAL / "model.cif.gz", data / "val")
    assert main([*arguments(data, out, seen + 4), "--validation-maps", "1"]) == 0
    with open(out / "validation.csv", newline="") as file:
        validated = list(csv.DictReader(file))
    assert [int(row["windows"]) for row in validated] == [seen + 4]
    assert 0 <= float(validated[0]["rank1"]) <= float(validated[0]["rank3"]) <= float(validated[0]["recall"]) <= 1
    after = torch.load(out / "checkpoint.pt", weights_only=True)
    assert after["windows"] == seen + 4
    assert after["restarts"] == 1
    weights = load_weights(out / "low.safetensors")
    assert weights.card.training["windows"] == seen + 4
    assert all(torch.isfinite(p).all() for p in weights.net.parameters())


def test_a_folder_of_another_range_is_refused(
    killed_run: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = killed_run
    wrong = arguments(data, out, 10)
    wrong[2] = "high"
    assert main(wrong) == TrainingDataError.exit_code
    assert "another range" in capsys.readouterr().err


def test_training_data_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, tmp_path / "run", 10)) == TrainingDataError.exit_code
    assert "neither packs" in capsys.readouterr().err


@pytest.mark.parametrize("times", ["0", "3", "-1"])
def test_windows_cannot_be_used_a_part_of_a_time(
    tmp_path: Path, times: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(tmp_path, tmp_path / "run", 10), "--replay", times]) == OptionError.exit_code
    assert f"--replay {times}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_loss_goes_down_on_one_window() -> None:
    """The network can learn: a few steps on the same random window lower its loss clearly."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = StackNet(TINY)
    classes = np.repeat(np.repeat(np.repeat(rng.integers(0, 17, (3, 3, 3)), 4, 0), 4, 1), 4, 2)
    batch = {
        "density": torch.from_numpy(rng.random((1, 1, 12, 12, 12), np.float32) + 0.5 + classes[None, None] / 8).float(),
        "classes": torch.from_numpy(classes[None].astype(np.int8)),
        "residues": torch.zeros(1, 12, 12, 12, dtype=torch.int16),
        "points": torch.zeros(1, 1, N_POINTS, 3),
    }
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    loss = CrossEntropyLoss(torch.ones(12, 12, 12), 5000)
    first = last = 0.0
    for step in range(40):
        losses = loss(*net(batch["density"]), batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        first, last = (losses.total.item(), 0.0) if step == 0 else (first, losses.total.item())
    assert last < 0.6 * first
