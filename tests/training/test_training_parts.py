"""Optimizer, checkpoints and shared runs: the parts of training that have properties of their own."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from edseg_engine.cli import main
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.simulate import NOISE_FREE, SimulationOptions
from edseg_engine.errors import OutputError, TrainingDataError
from edseg_engine.labels import N_CLASSES, N_POINTS
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.framenet import FrameNet
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import load_weights, save_weights
from edseg_engine.residues.features import N_FEATURES
from edseg_engine.resolution import range_by_name
from edseg_engine.training.checkpoint import MovingAverage, load_checkpoint, restore, save_checkpoint
from edseg_engine.training.distributed import Ranks, join_ranks, leave_ranks
from edseg_engine.training.loop import Trainer
from edseg_engine.training.muon import Muon, optimizers_of, orthogonalized
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.replay import Replay
from edseg_engine.training.thesis_loss import ThesisLoss
from edseg_engine.training.windows import CrystalSource, DataOptions
from places import CRYSTAL
from tiny_training import TINY, arguments, start_of, training_folder
from tools.pack_job import pack_job


@pytest.mark.parametrize("shape", [(16, 432), (96, 2592), (432, 16), (48, 48)])
def test_orthogonalized_keeps_directions_and_evens_out_lengths(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalized(matrix).float()
    lengths = torch.linalg.svdvals(result)
    assert lengths.max() < 1.35
    assert lengths.median() > 0.6
    cosine = (result * (u @ vt)).sum() / (result.norm() * (u @ vt).norm())
    assert cosine > 0.9


def test_muon_and_adamw_share_all_parameters() -> None:
    net = StackNet(TINY)
    muon, adamw = optimizers_of(net, 1e-3, 0.0)
    assert isinstance(muon, Muon)
    kernels, others = ([p for g in o.param_groups for p in g["params"]] for o in (muon, adamw))
    assert {id(p) for p in kernels} | {id(p) for p in others} == {id(p) for p in net.parameters()}
    assert len(kernels) + len(others) == len(list(net.parameters()))
    assert all(p.ndim == 5 and p.shape[2:].numel() > 1 for p in kernels)


def test_muon_steps_are_of_adams_size() -> None:
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.zeros(32, 32, 3, 3, 3).to(memory_format=torch.channels_last_3d))
    p.grad = torch.randn_like(p) * 1e-4
    Muon([p], lr=0.01).step()
    assert p.detach().square().mean().sqrt() == pytest.approx(0.002, rel=0.25)
    assert (p.detach() * p.grad).sum() < 0


def test_a_checkpoint_is_small_and_nearly_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = StackNet(StackNetConfig())
    average = MovingAverage(net, 0.999)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.01 * torch.randn_like(p))
    average.update(net)
    save_checkpoint(tmp_path / "c.pt", net, average, {"windows": 4})
    assert (tmp_path / "c.pt").stat().st_size < 16e6
    other = StackNet(StackNetConfig())
    saved = load_checkpoint(tmp_path / "c.pt")
    again = MovingAverage(other, 0.999)
    restore(saved, other, again)
    assert (saved["windows"], again.steps) == (4, 1)
    for (name, value), copy in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        if value.is_floating_point():
            torch.testing.assert_close(copy, value, atol=4e-4, rtol=0, msg=name)
            torch.testing.assert_close(again.state[name], average.state[name], atol=1e-4, rtol=1e-3, msg=name)


def _trained() -> torch.nn.ModuleList:
    torch.manual_seed(3)
    net = StackNet(replace(TINY, points=1)).eval()  # batch statistics differ between processes; gradients must not
    return torch.nn.ModuleList([net, ThesisLoss(torch.ones(12, 12, 12))])


def _random_window(rank: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(rank)
    classes = torch.randint(N_CLASSES, (1, 12, 12, 12), dtype=torch.int8)
    points = 12 * torch.rand(1, 3, N_POINTS, 3)
    residues = torch.randint(3, classes.shape, dtype=torch.int16)
    return {"density": torch.rand(1, 1, 12, 12, 12) + 1, "classes": classes, "residues": residues, "points": points}


def _shared_gradient(rank: int, folder: str, port: int) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    ranks = join_ranks("cpu")
    trained, batch = _trained(), _random_window(rank)
    net, loss = (ranks.shared(module) for module in trained)
    loss(*net(batch["density"]), batch).total.backward()
    torch.save([p.grad for p in trained.parameters()], f"{folder}/{rank}.pt")
    del net, loss
    leave_ranks()


def test_two_processes_share_the_gradient_of_both_their_windows(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    mp.spawn(_shared_gradient, (str(tmp_path), port), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    trained = _trained()
    net, loss = trained
    for rank in range(2):
        batch = _random_window(rank)
        (loss(*net(batch["density"]), batch).total / 2).backward()
    for a, b, p in zip(first, second, trained.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
        torch.testing.assert_close(a, p.grad, atol=1e-6, rtol=1e-4)


def test_torchrun_trains_on_two_processes(tmp_path: Path) -> None:
    data, out = training_folder(tmp_path / "data"), tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*launcher, "-m", "edseg_engine", *arguments(data, out, 8)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("The weights are in") == 1
    assert load_checkpoint(out / "checkpoint.pt")["windows"] == 8
    weights = load_weights(out / "low.safetensors")
    assert all(torch.isfinite(p).all() for p in weights.net.parameters())


def test_a_packed_job_trains_by_its_script_and_goes_on(tmp_path: Path) -> None:
    structures, job, out = tmp_path / "packs", tmp_path / "job", tmp_path / "out"
    structures.mkdir()
    # The data are a folder of models here; a pack stands for what would be chosen by size.
    (structures / "train-00.npz").write_bytes(b"x" * 1000)
    experimental = tmp_path / "crystals"
    shutil.copytree(CRYSTAL, experimental / "1az5")
    (experimental / "index.tsv").write_text("id\tsplit\tresolution\n1az5\ttrain\t2.0\n")
    contents = pack_job(job, structures, 1.0, experimental)
    assert (contents.packs, contents.experimental) == (1, 1)
    assert contents.size < 2e6
    (job / "structures" / "train-00.npz").unlink()
    training_folder(job / "models")
    shutil.copytree(job / "models" / "train", job / "structures" / "train")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for windows in ("2", "4"):
        command = ["sh", str(job / "train.sh"), "low", str(out), "--windows", windows, "--batch", "2", "--workers", "0"]
        command += ["--start-from", str(start_of(tmp_path))]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert load_checkpoint(out / "checkpoint.pt")["windows"] == int(windows)
    assert load_checkpoint(out / "checkpoint.pt")["restarts"] == 1
    (unpacked,) = (temporary / "edseg-job-site").glob("data-*")
    (entry,) = read_index(unpacked / "experimental", "train")
    packed, own = ExperimentalCrystal(entry), ExperimentalCrystal(read_index(experimental, "train")[0])
    assert packed.residues.names == own.residues.names
    few, all_ = (crystal.density(2.2).values for crystal in (packed, own))
    assert np.corrcoef(few.ravel(), all_.ravel())[0, 1] > 0.999


def test_kernels_of_one_shape_are_updated_each_for_itself() -> None:
    torch.manual_seed(0)
    values, gradients = torch.randn(2, 8, 8, 3, 3, 3), torch.randn(2, 8, 8, 3, 3, 3)
    together = [torch.nn.Parameter(v.clone()) for v in values]
    alone = [torch.nn.Parameter(v.clone()) for v in values]
    optimizers = [Muon(together, lr=0.01), *(Muon([p], lr=0.01) for p in alone)]
    for _ in range(2):
        for p, q, gradient in zip(together, alone, gradients, strict=True):
            p.grad, q.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for p, q, value in zip(together, alone, values, strict=True):
        torch.testing.assert_close(p, q, atol=1e-4, rtol=0)
        assert (p - value).abs().mean() > 1e-3


def _labelled(number: int, n: int = 2) -> dict[str, torch.Tensor]:
    """Return a fresh batch whose first residue is the densest voxel and whose classes tell its number."""
    density = torch.randn(n, 1, 8, 8, 8)
    densest = density.flatten(1).argmax(1)
    residues = torch.full((n, 512), -1, dtype=torch.int16)
    residues[torch.arange(n), densest] = 0
    points = torch.stack(torch.unravel_index(densest, (8, 8, 8)), 1)[:, None, None].float().expand(n, 4, 8, 3)
    classes = torch.full((n, 8, 8, 8), number)
    return {"density": density, "classes": classes, "residues": residues.view(n, 8, 8, 8), "points": points}


def test_replayed_windows_come_up_as_often_as_asked_and_turn_with_their_labels() -> None:
    torch.manual_seed(0)
    numbers = itertools.count()
    replay = Replay((_labelled(next(numbers)) for _ in itertools.count()), times=3, capacity=32)
    seen = torch.zeros(200)
    for _ in range(100):
        batch = next(replay)
        assert batch["density"].shape == (6, 1, 8, 8, 8)
        seen += torch.bincount(batch["classes"][:, 0, 0, 0], minlength=200)
        places = torch.argwhere(batch["residues"] == 0)
        torch.testing.assert_close(batch["points"][:, 0, 0], places[:, 1:].float())
        assert (batch["density"].amax((1, 2, 3, 4)) == batch["density"][:, 0][tuple(places.T)]).all()
    assert seen[20:80].mean() / 2 == pytest.approx(3.0, rel=0.1)


def test_the_share_of_crystals_without_errors_has_none(tmp_path: Path) -> None:
    folder = training_folder(tmp_path / "data")

    def drawn(share: float, simulation: SimulationOptions) -> np.ndarray:
        options = DataOptions(folder, noise_free_share=share, poor_phases_share=0.0, simulation=simulation)
        return CrystalSource(options, range_by_name("low")).draw(np.random.default_rng(5)).density.values

    clean = drawn(1.0, SimulationOptions())
    assert np.array_equal(clean, drawn(0.0, NOISE_FREE))
    assert not np.allclose(clean, drawn(0.0, SimulationOptions()))


def test_training_ends_in_time(tmp_path: Path) -> None:
    data = DataOptions(training_folder(tmp_path / "data"))
    options = TrainOptions(windows=10**6, minutes=0.05, batch=4, replay=2, workers=0)
    trainer = Trainer(tmp_path / "run", range_by_name("low"), TINY, data, options, Ranks(0, 1, torch.device("cpu")))
    start = time.monotonic()
    trainer.run(lambda row: None)
    assert time.monotonic() - start < 30
    assert 0 < trainer.windows < 10**6
    assert load_checkpoint(trainer.checkpoint_path)["seconds"] >= 3.0


def test_a_job_says_what_it_cannot_pack(tmp_path: Path) -> None:
    (tmp_path / "train-00.npz").write_bytes(b"x" * 3_000_000)
    with pytest.raises(TrainingDataError, match="fits into 2 MB"):
        pack_job(tmp_path / "job", tmp_path, 2.0, None)
    assert not (tmp_path / "job").exists()
    with pytest.raises(OutputError, match="not empty"):
        pack_job(tmp_path, tmp_path, 5.0, None)


def test_fine_tuning_that_makes_weights_worse_keeps_those_it_started_from(tmp_path: Path) -> None:
    data = DataOptions(training_folder(tmp_path / "data"))
    card = WeightsCard(range_by_name("low"), TINY)
    torch.manual_seed(5)
    start = tmp_path / "start.safetensors"
    save_weights(StackNet(TINY).state_dict(), card, start)
    options = TrainOptions(windows=8, batch=2, validate_every=2, patience=2, workers=0)
    ranks = Ranks(0, 1, torch.device("cpu"))
    trainer = Trainer(tmp_path / "run", range_by_name("low"), TINY, data, options, ranks, start_from=start)
    asked: list[int] = []

    def validate(weights: Path, windows: int) -> float:
        asked.append(windows)
        return -float(windows)

    trainer.run(lambda row: None, validate)
    assert asked == [0, 2, 4]
    kept, given = (load_weights(p).net.state_dict() for p in (trainer.weights_path, start))
    for name, tensor in given.items():
        torch.testing.assert_close(kept[name], tensor)


def test_training_stops_when_it_gets_no_better_and_keeps_the_best(tmp_path: Path) -> None:
    data = DataOptions(training_folder(tmp_path / "data"))
    options = TrainOptions(windows=20, batch=2, validate_every=2, patience=2, workers=0)
    ranks = Ranks(0, 1, torch.device("cpu"))
    trainer = Trainer(tmp_path / "run", range_by_name("low"), TINY, data, options, ranks)
    scores = {2: 0.1, 4: 0.3, 6: 0.2, 8: 0.25}
    asked: list[int] = []

    def validate(weights: Path, windows: int) -> float:
        assert load_weights(weights).card.training["windows"] == windows
        asked.append(windows)
        return scores.get(windows, 0.0)

    trainer.run(lambda row: None, validate)
    assert asked == [2, 4, 6, 8]
    assert load_weights(trainer.weights_path).card.training["windows"] == 4
    assert load_checkpoint(trainer.checkpoint_path)["windows"] == 8


@pytest.mark.parametrize(
    ("start", "votes", "points"), [(1, None, 1), (1, "backbone", N_POINTS), (N_POINTS, "centroid", 1)]
)
def test_voxels_vote_for_what_the_start_did_or_the_user_says(
    tmp_path: Path, start: int, votes: str | None, points: int
) -> None:
    folder = training_folder(tmp_path / "data")
    net = StackNet(replace(TINY, points=start))
    save_weights(net.state_dict(), WeightsCard(range_by_name("low"), net.config), tmp_path / "start.safetensors")
    options = ["--windows", "1", "--batch", "1", "--workers", "0", "--poor-phases-share", "0", "--device", "cpu"]
    options += ["--start-from", str(tmp_path / "start.safetensors"), "--out", str(tmp_path / "run")]
    options += ["--votes", votes] if votes else []
    assert main(["train", "network", "low", "--structures", str(folder), *options]) == 0
    assert load_weights(tmp_path / "run" / "low.safetensors").net.config == replace(TINY, points=points)


@pytest.mark.parametrize(("votes", "kept"), [("backbone", True), ("centroid", False)])
def test_what_reads_residues_stays_with_a_network_that_is_trained_on(tmp_path: Path, votes: str, kept: bool) -> None:
    """It reads density and atoms, so that it needs no training for another first network that votes for atoms."""
    folder = training_folder(tmp_path / "data")
    start = tmp_path / "start.safetensors"
    weights = load_weights(start_of(tmp_path, replace(TINY, points=N_POINTS)))
    card = replace(weights.card, frames={"runs": [{"residues": 7}]})
    replace(weights, card=card, residue_net=ResidueNet(N_FEATURES), frame_net=FrameNet(1, 8)).save(start)
    options = ["--windows", "2", "--batch", "1", "--workers", "0", "--device", "cpu", "--votes", votes]
    options += ["--start-from", str(start), "--out", str(tmp_path / "run")]
    assert main(["train", "network", "low", "--structures", str(folder), *options]) == 0
    trained, given = load_weights(tmp_path / "run" / "low.safetensors"), load_weights(start)
    assert trained.residue_net is None
    assert (trained.frame_net is not None) == kept
    assert trained.card.frames == (card.frames if kept else {})
    if trained.frame_net is not None and given.frame_net is not None:
        torch.testing.assert_close(trained.frame_net.state_dict(), given.frame_net.state_dict())
    assert not torch.equal(next(trained.net.parameters()), next(given.net.parameters()))
    # A run that goes on has them from its own weights.
    ranks, longer = Ranks(0, 1, torch.device("cpu")), TrainOptions(windows=4)
    again = Trainer(tmp_path / "run", trained.card.range, trained.net.config, DataOptions(folder), longer, ranks)
    again.save()
    saved = load_weights(again.weights_path)
    assert ((saved.frame_net is not None), saved.card.frames) == (kept, trained.card.frames)
