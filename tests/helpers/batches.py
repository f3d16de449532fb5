"""Cheap batches: small maps of noise, a small untrained network, and other processes that run them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import torch

from edseg_engine.batch import tasks
from edseg_engine.batch.journal_file import read_journal
from edseg_engine.batch.records import Entry
from edseg_engine.batch.run import BatchOptions
from edseg_engine.batch.settings import MapSettings
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import save_weights
from edseg_engine.resolution import range_by_name


def small_network(folder: Path) -> Path:
    """Write weights that need next to no time and vote for atoms, so that no others are loaded beside them."""
    torch.manual_seed(0)
    config = StackNetConfig(widths=(4, 8, 8), blocks=(1, 1, 1), points=8)
    path = folder / "small.safetensors"
    save_weights(StackNet(config).state_dict(), WeightsCard(range_by_name("high"), config), path)
    return path


def noise_map(path: Path, seed: int = 0, edge: int = 16) -> Path:
    """Write a map of noise in a cubic cell of `edge` Å."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ccp4 = gemmi.Ccp4Map()
    values = np.random.default_rng(seed).normal(size=(edge, edge, edge))
    ccp4.grid = gemmi.FloatGrid(values.astype(np.float32))
    ccp4.grid.set_unit_cell(gemmi.UnitCell(edge, edge, edge, 90, 90, 90))
    ccp4.grid.spacegroup = gemmi.SpaceGroup("P 1")
    ccp4.update_ccp4_header(2)
    ccp4.write_ccp4_map(str(path))
    return path


def let_kill(name: str) -> None:
    """Let the map of this name kill this process when it is read, as one that needs too much memory does."""
    read = tasks.read_map

    def deadly(path: Path, **given: Any) -> DensityMap:
        if path.stem == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(path, **given)

    tasks.read_map = deadly  # type: ignore[assignment]


def quick(weights: Path, **changes: object) -> BatchOptions:
    """Return options of a batch of such maps."""
    settings = MapSettings(resolution=2.0, residues=3, orientations=1, weights=weights)
    return BatchOptions(settings=settings, device="cpu", **changes)  # type: ignore[arg-type]


def journal_of(out: Path) -> dict[str, Entry]:
    """Return what the journal says, by name."""
    with read_journal(out) as journal:
        return {entry.name: entry for entry in journal.entries()}


def states(out: Path) -> dict[str, str]:
    return {name: entry.state for name, entry in journal_of(out).items()}
