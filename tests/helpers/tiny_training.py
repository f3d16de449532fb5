"""A small network, data to train it on, and the command that does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from edseg_engine.networks.architectures import build
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.fc_densenet import FcDenseNetConfig
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.stacknet import StackNetConfig
from edseg_engine.networks.weights import save_weights
from edseg_engine.resolution import range_by_name
from places import CRYSTAL

TINY = StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1))
TINY_DENSE = FcDenseNetConfig(levels=2, layers=2, bottleneck=2, growth=4, stem=4)


def training_folder(folder: Path) -> Path:
    (folder / "train").mkdir(parents=True)
    shutil.copy(CRYSTAL / "model.cif.gz", folder / "train" / "1az5.cif.gz")
    return folder


def start_of(folder: Path, config: NetworkConfig = TINY) -> Path:
    """Write weights of a small network, as something to start from, which gives a run its shape."""
    torch.manual_seed(0)
    path = folder / "start.safetensors"
    state = {k: v for k, v in build(config).state_dict().items() if v.is_floating_point()}
    save_weights(state, WeightsCard(range_by_name("low"), config), path)
    return path


def arguments(data: Path, out: Path, windows: int, config: NetworkConfig = TINY) -> list[str]:
    command = ["train", "network", "low", "--structures", str(data), "--out", str(out), "--device", "cpu"]
    return [*command, "--start-from", str(start_of(data, config)), "--windows", str(windows), "--batch", "2"]
