"""A small network, data to train it on, and the command that does it."""

from __future__ import annotations

import shutil
from pathlib import Path

from edseg_engine.networks.stacknet import StackNetConfig
from places import CRYSTAL

TINY = StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1))


def training_folder(folder: Path) -> Path:
    (folder / "train").mkdir(parents=True)
    shutil.copy(CRYSTAL / "model.cif.gz", folder / "train" / "1az5.cif.gz")
    return folder


def arguments(data: Path, out: Path, windows: int) -> list[str]:
    command = ["train", "network", "low", "--structures", str(data), "--out", str(out)]
    return [*command, "--windows", str(windows), "--batch", "2"]
