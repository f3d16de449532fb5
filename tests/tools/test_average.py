"""The mean of weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import load_weights, save_weights
from edseg_engine.resolution import range_by_name
from tiny_training import TINY
from tools.average import main


def write(path: Path, seed: int, config: StackNetConfig) -> Path:
    torch.manual_seed(seed)
    state = {k: v for k, v in StackNet(config).state_dict().items() if v.is_floating_point()}
    save_weights(state, WeightsCard(range_by_name("high"), config), path)
    return path


def test_the_mean_lies_between(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (write(tmp_path / f"{seed}.safetensors", seed, TINY) for seed in (1, 2))
    out = tmp_path / "mean.safetensors"
    assert main([str(first), str(second), "--out", str(out)]) == 0
    a, b, mean = (load_weights(path) for path in (first, second, out))
    assert mean.card.range == range_by_name("wide")
    assert [entry["sha256"] for entry in mean.card.training["average_of"]] == [a.info.sha256, b.info.sha256]
    for x, y, z in zip(a.net.parameters(), b.net.parameters(), mean.net.parameters(), strict=True):
        torch.testing.assert_close(z, (x + y) / 2, atol=2e-3, rtol=1e-2)
    other = write(tmp_path / "other.safetensors", 3, StackNetConfig((4, 6), (1, 1), (0, 1)))
    assert main([str(first), str(other), "--out", str(out)]) == 7
    assert "another shape" in capsys.readouterr().err
