"""A small network, data to train it on, and the command that does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import save_weights
from edseg_engine.resolution import range_by_name
from places import CRYSTAL

TINY = StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1))


def training_folder(folder: Path) -> Path:
    (folder / "train").mkdir(parents=True)
    shutil.copy(CRYSTAL / "model.cif.gz", folder / "train" / "1az5.cif.gz")
    return folder


def start_of(folder: Path) -> Path:
    """Write weights of the small network, as something to start from, which gives a run its shape."""
    torch.manual_seed(0)
    path = folder / "start.safetensors"
    save_weights(StackNet(TINY).state_dict(), WeightsCard(range_by_name("low"), TINY), path)
    return path


def arguments(data: Path, out: Path, windows: int) -> list[str]:
    command = ["train", "network", "low", "--structures", str(data), "--out", str(out), "--device", "cpu"]
    return [*command, "--start-from", str(start_of(data)), "--windows", str(windows), "--batch", "2"]
