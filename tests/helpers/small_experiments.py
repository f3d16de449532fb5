"""What the tests of experiments share: data of the crystal that ships with the repository, and how one is run."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from edseg_engine.networks.architectures import build
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.weights import save_weights
from edseg_engine.resolution import ResolutionRange
from places import CRYSTAL, MODEL

#: Two names in different folds.
NAMES = ("1az5", "1abc")
#: Options of the shortest training, and the loss that needs the least time.
RUN = ["--windows", "2", "--batch", "2", "--workers", "0", "--device", "cpu"]
SMALL = [*RUN, "--loss", "cross-entropy"]


def experiment_folder(folder: Path) -> Path:
    """Fill a folder with a protein under two names to simulate, and one experimental crystal."""
    for split in ("train", "val"):
        (folder / split).mkdir()
        for name in NAMES:
            shutil.copy(MODEL, folder / split / f"{name}.cif.gz")
    shutil.copytree(CRYSTAL, folder / "1az5")
    with open(folder / "index.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(
            [["id", "split", "resolution", "r_free"], ["1az5", "dev", "2.0", "0.21"], ["1az5", "train", "2.0", "0.21"]]
        )
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def run_twice(main: Callable[[list[str]], int], arguments: list[str], out: Path, name: str) -> list[dict[str, str]]:
    """Run an experiment, then again with one row taken away: that row alone is measured again, to the same figures."""
    command = [*arguments, "--out", str(out)]
    assert main(command) == 0
    for suffix in ("md", "png"):
        assert (out / f"{name}.{suffix}").stat().st_size > 100
    path = out / f"{name}.csv"
    complete = path.read_text()
    path.write_text("".join(complete.splitlines(keepends=True)[:-1]))
    assert main(command) == 0
    assert path.read_text() == complete
    return rows_of(path)


def weights_file(path: Path, config: NetworkConfig, resolution_range: ResolutionRange) -> Path:
    torch.manual_seed(0)
    state = {k: v for k, v in build(config).state_dict().items() if v.is_floating_point()}
    save_weights(state, WeightsCard(resolution_range, config), path)
    return path
