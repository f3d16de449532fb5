"""Super-resolution, which chapter 7 of the thesis proposes, with small networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edseg_engine.dataset.simulate import NOISE_FREE
from edseg_engine.errors import TrainingDataError
from edseg_engine.evaluation.maps import simulated_maps
from edseg_engine.networks.architectures import build
from edseg_engine.networks.stacknet import StackNet
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.windows import DataOptions
from small_experiments import RUN, experiment_folder, rows_of, run_twice, weights_file
from tiny_training import TINY
from tools.experiments import super_resolution
from tools.experiments.adversarial import GeneratorTrainer, LossWeights
from tools.experiments.core import fixed_range
from tools.experiments.generator import Behind, Generator, frozen, structural_similarity
from tools.experiments.pairs import coarser, window_pair

CPU = torch.device("cpu")
SMALL_WINDOWS = replace(fixed_range(2.0), window=16, frame=4.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment_folder(tmp_path_factory.mktemp("data"))


def trained_generator() -> Generator:
    """Return a generator that changes its input."""
    torch.manual_seed(0)
    generator = Generator((4, 8))
    torch.nn.init.normal_(generator.head.weight, std=0.1)
    for _ in range(3):
        generator(torch.randn(2, 1, 12, 12, 12))
    return generator.eval()


def test_a_generator_begins_with_its_input_and_takes_any_shape() -> None:
    x = torch.randn(2, 1, 13, 18, 7)
    assert torch.equal(Generator((4, 8, 8))(x), x)
    assert trained_generator()(x).shape == x.shape


def test_structural_similarity_falls_with_blur_and_noise() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 20, 20, 20) * 3
    noisy = [structural_similarity(x, x + scale * torch.randn_like(x)).item() for scale in (0.0, 0.2, 1.0)]
    assert noisy[0] == pytest.approx(1)
    assert noisy[0] > noisy[1] > noisy[2] > -1
    # No relation left, and the same mean: the product of means counts alone.
    assert structural_similarity(x, x.flip(2)).item() < 0.6


def test_a_network_behind_a_generator_reads_what_is_generated() -> None:
    generator, net = trained_generator(), StackNet(TINY).eval()
    both = Behind(generator, net)
    x = torch.randn(1, 1, 12, 12, 12)
    fast = both.for_inference(CPU, torch.float32)
    with torch.no_grad():
        for own, fused, expected in zip(both(x), fast(x), net(generator(x)), strict=True):
            torch.testing.assert_close(own, expected)
            torch.testing.assert_close(fused, expected, atol=1e-4, rtol=1e-3)
    assert both.config == TINY


def test_a_frozen_network_passes_gradients_on() -> None:
    net = frozen(build(TINY), CPU, torch.float32)
    x = torch.randn(1, 1, 12, 12, 12, requires_grad=True)
    torch.autograd.backward(net(x)[0].square().sum())
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())


def test_a_pair_of_windows_shows_one_place_at_two_resolutions(data: Path) -> None:
    fine = next(iter(simulated_maps(data, "val", 2.0, NOISE_FREE)))
    coarse = coarser(fine)
    assert coarse.density.d_min == 3.0
    pair, again, other = (window_pair(fine, coarse, SMALL_WINDOWS, seed) for seed in (1, 1, 2))
    assert pair["fine"].shape == pair["density"].shape == (1, 16, 16, 16)
    assert all(torch.equal(pair[name], again[name]) for name in ("fine", "density", "classes"))
    same, different = (
        np.corrcoef(pair["fine"].numpy().ravel(), w["density"].numpy().ravel())[0, 1] for w in (pair, other)
    )
    assert same > 0.7 > different


def test_a_generator_learns_and_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reader = build(TINY).eval()

    def trainer(windows: int, weights: LossWeights) -> GeneratorTrainer:
        options = TrainOptions(windows, batch=2, learning_rate=3e-3, warmup=2, workers=0, seed=3)
        sources = DataOptions(data, noise_free_share=1.0, poor_phases_share=0.0, crystal_share=1.0, pool=1)
        return GeneratorTrainer(tmp_path, SMALL_WINDOWS, reader, sources, options, weights, CPU)

    weights = LossWeights(0.02, 0.5)
    first = trainer(4, weights)
    first.run()
    again = trainer(24, weights)
    assert (again.windows, again.restarts) == (4, 1)
    for name, value in first.averaged().state_dict().items():
        torch.testing.assert_close(again.averaged().state_dict()[name], value, atol=1e-3, rtol=1e-2)
    again.run()
    rows = rows_of(tmp_path / "log.csv")
    assert [int(row["windows"]) for row in rows][-1] == 24
    assert all(float(row["class_loss"]) > 0 and float(row["discriminator_loss"]) > 0 for row in rows)
    assert all(p.grad is None for p in again.reader.parameters())
    with pytest.raises(TrainingDataError, match="with other losses"):
        trainer(24, LossWeights(0.0, 0.5))


def test_super_resolution(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(TINY, points=1)
    weights = [str(weights_file(tmp_path / f"{d}.safetensors", config, fixed_range(d))) for d in (3.0, 2.0)]
    arguments = ["--structures", str(data), "--experimental", str(data), "--maps", "1", *RUN]
    rows = run_twice(super_resolution.main, [*arguments, "--weights", *weights], tmp_path / "out", "super_resolution")
    assert [(row["maps"], row["network"], row["density"]) for row in rows] == [
        (maps, *row)
        for maps in ("simulated", "experimental")
        for row in (("3 Å", "3 Å"), ("2 Å", "3 Å"), ("2 Å", "generated"), ("2 Å", "2 Å"))
    ]
    assert {row["residues"] for row in rows} == {"95"}
    for row in rows_of(tmp_path / "out" / "reconstruction.csv"):
        assert 0.5 < float(row["3 Å correlation"]) < 1
    assert "| simulated | generated |" in capsys.readouterr().out
