"""Residues as the network of frames reads them in crystals whose residues are known, to train on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.inference.frames import FrameReader
from edseg_engine.inference.neighbours import N_NEIGHBOURS, find_neighbours
from edseg_engine.inference.volume import as_read
from edseg_engine.labels import ATOMS, N_LABELS
from edseg_engine.memory import require_memory
from edseg_engine.networks.framenet import FrameNet
from edseg_engine.networks.neighbournet import sureness
from edseg_engine.resolution import ResolutionRange
from edseg_engine.training.frames import MAIN_CHAIN, complete_crystals, disturbed
from edseg_engine.training.windows import CrystalSource, DataOptions

#: Residues that are gathered at a time: what is gathered does not depend on the number of jobs.
_PART = 15_000


@dataclass(frozen=True, eq=False)
class Readings:
    """Residues of many maps, what the density says of each, and what is around them.

    Attributes
    ----------
    sizes
        shape (n_maps,): residues of each map.
    of_map
        float32, shape (n_maps, 2): resolution (Å), and `edseg_engine.networks.neighbournet.sureness`.
    probabilities
        float32, shape (n, 17).
    nearest
        int16, shape (n, m): the neighbours of each, counted within its map, itself first; -1 where there is none.
    atoms
        float16, shape (n, m, 7, 3): their atoms in its frame.
    labels
        int8, shape (n,): the true classes.
    """

    sizes: NDArray[np.int64]
    of_map: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    nearest: NDArray[np.int16]
    atoms: NDArray[np.float16]
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence[Readings]) -> Readings:
        """Return all parts as one."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class ReadingOptions:
    """Where readings come from.

    Attributes
    ----------
    data, range
        Crystals, and the resolutions at which they are read.
    net
        What reads them.
    seed
        Of all random choices.
    """

    data: DataOptions
    range: ResolutionRange
    net: FrameNet
    seed: int


def gather_readings(options: ReadingOptions, n_residues: int, jobs: int, report: Callable[[int], None]) -> Readings:
    """Read so many residues of crystals, from main chains that are as wrong as voted ones.

    Parameters
    ----------
    jobs
        Processes that read beside each other.
    report
        Gets the number of residues after each part.

    Raises
    ------
    DeviceError
        If there is not so much memory.
    TrainingDataError
        If no crystal has residues that can be used.
    """
    each = (1 + N_NEIGHBOURS) * (2 * 3 * len(ATOMS) + 2) + 4 * N_LABELS
    require_memory(2 * n_residues * each, "This number of residues", "give a smaller one with --residues")
    parts: list[Readings] = []
    with ProcessPoolExecutor(jobs, get_context("spawn"), _one_thread) as pool:
        n_parts = math.ceil(n_residues / _PART)
        for part in pool.map(partial(_gather, options, math.ceil(n_residues / n_parts)), range(n_parts)):
            parts.append(part)
            report(sum(map(len, parts)))
    return Readings.joined(parts)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _gather(options: ReadingOptions, n_residues: int, number: int) -> Readings:
    rng = np.random.default_rng([options.seed, number, 6])
    source = CrystalSource(options.data, options.range)
    parts: list[Readings] = []
    for known, complete in complete_crystals(source, rng):
        points = known.residues.points[complete]
        voted = np.full((len(points), len(ATOMS), 3), np.nan)
        voted[:, :3] = disturbed(points[:, MAIN_CHAIN], rng)
        density = as_read(known.density, source.range)
        reading = FrameReader(density, options.net).read(voted)
        read = np.isfinite(reading.probabilities).all(1)
        if read.any():
            probabilities = reading.probabilities[read]
            around = find_neighbours(reading.atoms[read], known.symmetry)
            of_map = [[density.d_min or 0.0, sureness(probabilities)]]
            parts.append(
                Readings(
                    np.array([len(probabilities)]),
                    np.array(of_map, np.float32),
                    probabilities.astype(np.float32),
                    around.nearest.astype(np.int16),
                    around.atoms,
                    known.residues.labels[complete][read].astype(np.int8),
                )
            )
        if sum(map(len, parts)) >= n_residues:
            break
    return Readings.joined(parts)
