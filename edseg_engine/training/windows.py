"""An endless stream of training windows, made while the network trains.

A small pool of crystals is kept; each gives some windows at random places in random orientations and is then replaced
by a new one, simulated or experimental. So crystals of very different cost feed an even stream, and windows of one
crystal do not follow each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import gemmi
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from edseg_engine.dataset.criteria import fold_of
from edseg_engine.dataset.cryo_em import simulate_cryo_em
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.labelled import KnownMap, Window, random_rotation
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.dataset.phases import KINDS, REFINED, PhaseQuality, draw_quality
from edseg_engine.dataset.simulate import SimulationOptions, simulate_crystal
from edseg_engine.errors import ModelFormatError, TrainingDataError
from edseg_engine.inference.normalise import CLIP, DENSITY_THRESHOLD
from edseg_engine.residues.known import known_residues
from edseg_engine.resolution import ResolutionRange

#: Crystals with more atoms or a larger cell (Å³) than this are left out: they cost more than they teach.
MAX_ATOMS, MAX_VOLUME = 12_000, 3.0e6
#: Windows a crystal gives per visit in the pool.
MIN_WINDOWS, MAX_WINDOWS = 3, 10
#: More residues, copies counted, than touch a window of 48 Å.
MAX_RESIDUES = 1536

T = TypeVar("T")


@dataclass(frozen=True)
class DataOptions:
    """Where windows come from.

    Attributes
    ----------
    structures
        Folder of packs ``train*.npz``, or with a folder ``train`` of models.
    experimental
        Folder of experimental crystals, of which the split ``train`` is used; None leaves them out.
    experimental_share
        Fraction of the crystals that is experimental.
    crystal_share
        Fraction of the simulated crystals whose cell and space group are the structure's own. The others are bare
        chains in a made-up box; they are more numerous but loosely packed.
    noise_free_share
        Fraction of the simulated crystals without errors of amplitudes and phases, as good as the best of real maps.
    poor_phases_share
        Fraction of the crystals whose phases are those before the structure is solved, a third of each kind of
        `edseg_engine.dataset.phases`, from nearly good to nearly hopeless.
    cryo_em_share
        Fraction of the simulated maps that are of single particles, as cryo-EM shows them.
    pool
        Crystals kept at a time by each worker.
    split
        Split of the structures.
    left_out_fold
        Fold of the cross-validation whose proteins are left out (`edseg_engine.dataset.criteria.fold_of`); 0: none.
    """

    structures: Path
    experimental: Path | None = None
    experimental_share: float = 0.35
    crystal_share: float = 0.65
    noise_free_share: float = 0.12
    poor_phases_share: float = 0.55
    cryo_em_share: float = 0.0
    pool: int = 24
    simulation: SimulationOptions = field(default_factory=SimulationOptions)
    split: str = "train"
    left_out_fold: int = 0

    @classmethod
    def of_readers(cls, structures: Path, experimental: Path | None, experimental_share: float) -> DataOptions:
        """Return what networks that read residues are trained on: mostly poor phases, and some maps of cryo-EM."""
        return cls(structures, experimental, experimental_share, poor_phases_share=0.75, cryo_em_share=0.1)


class CrystalSource:
    """Draws labelled crystals at a random resolution of the range."""

    def __init__(self, options: DataOptions, resolution_range: ResolutionRange) -> None:
        self.options, self.range = options, resolution_range
        self.packs = structures_of_split(options.structures, options.split)
        fits = [
            (p, i)
            for p, pack in enumerate(self.packs)
            for i in np.flatnonzero(pack.n_atoms <= MAX_ATOMS).tolist()
            if fold_of(pack.names[i]) != options.left_out_fold
        ]
        self.crystals = [(p, i) for p, i in fits if self.packs[p].is_crystal[i]]
        self.chains = [(p, i) for p, i in fits if not self.packs[p].is_crystal[i]]
        self.experimental: list[ExperimentalCrystal] = []
        if options.experimental is not None and options.experimental_share > 0:
            entries = read_index(options.experimental, "train")
            usable = [e for e in entries if e.d_min <= resolution_range.d_max]
            self.experimental = [ExperimentalCrystal(e) for e in usable]

    def draw(self, rng: np.random.Generator) -> KnownMap:
        """Return one crystal; those that cannot be simulated are passed over."""
        if self.experimental and rng.random() < self.options.experimental_share:
            return self._experimental(self.experimental[rng.integers(len(self.experimental))], rng)
        for _ in range(100):
            choices = self.crystals if rng.random() < self.options.crystal_share or not self.chains else self.chains
            if not choices:
                continue
            pack, index = choices[rng.integers(len(choices))]
            structure = self.packs[pack][index]
            if structure.cell.is_crystal() and structure.cell.volume > MAX_VOLUME:
                continue
            try:
                return self._simulated(structure, rng)
            except (ModelFormatError, RuntimeError):  # gemmi: cells too small for their structure and the like
                continue
        raise TrainingDataError(f"No map can be simulated from any structure in {self.options.structures}.")

    def _simulated(self, structure: gemmi.Structure, rng: np.random.Generator) -> KnownMap:
        d_min, measured = rng.uniform(self.range.d_min, self.range.d_max), None
        if self.options.cryo_em_share and rng.random() < self.options.cryo_em_share:
            density = simulate_cryo_em(structure, d_min, rng)
        else:
            quality = self._quality(rng)
            options = self._simulation(rng) if quality.kind == "refined" else self.options.simulation
            density, amplitudes = simulate_crystal(structure, d_min, rng, options, quality)
            measured = None if quality.kind == "refined" else amplitudes
        return KnownMap(density, known_residues(structure[0]), structure.name, measured)

    def _simulation(self, rng: np.random.Generator) -> SimulationOptions:
        simulation = self.options.simulation
        return replace(simulation, noise_free=True) if rng.random() < self.options.noise_free_share else simulation

    def _quality(self, rng: np.random.Generator) -> PhaseQuality:
        if rng.random() >= self.options.poor_phases_share:
            return REFINED
        return draw_quality(KINDS[int(rng.integers(1, len(KINDS)))], rng)

    def _experimental(self, crystal: ExperimentalCrystal, rng: np.random.Generator) -> KnownMap:
        own = crystal.entry.d_min
        d_min = rng.uniform(max(own, self.range.d_min), self.range.d_max)
        quality = self._quality(rng)
        if quality.kind != "refined" and crystal.has_amplitudes:
            density = crystal.initial_density(d_min, quality, rng)
            return KnownMap(density, crystal.residues, crystal.entry.name, crystal.amplitudes)
        # Data cut far from their own limit are better than data that end there: blur them and disturb the phases.
        excess = np.clip((d_min - own) / d_min, 0.0, 0.5)
        density = crystal.density(
            d_min,
            b_add=rng.uniform(-5.0, 10.0 + 40.0 * excess * d_min),
            phase_error=rng.uniform(0.0, 2.0 * excess),
            rng=rng,
        )
        return KnownMap(density, crystal.residues, crystal.entry.name)


def visits(
    draw: Callable[[np.random.Generator], T],
    size: int,
    rng: np.random.Generator,
    times: tuple[int, int] = (MIN_WINDOWS, MAX_WINDOWS),
) -> Iterator[T]:
    """Yield without end what `draw` makes, each as often as `times` (from, to) say, from a pool of `size` of them."""
    pool: list[tuple[T, int]] = []
    while True:
        # The pool fills while it already gives windows, so that training starts at once.
        if len(pool) < size:
            pool.append((draw(rng), int(rng.integers(times[0], times[1] + 1))))
        index = int(rng.integers(len(pool)))
        crystal, left = pool[index]
        yield crystal
        if left > 1:
            pool[index] = (crystal, left - 1)
        else:
            pool.pop(index)


def random_window(crystal: KnownMap, resolution_range: ResolutionRange, rng: np.random.Generator) -> Window:
    """Cut a window around a random residue, in random orientation, with a little jitter of scale and offset."""
    center = crystal.residues.centroids[rng.integers(len(crystal.residues.centroids))] + rng.normal(0, 6.0, 3)
    window = crystal.window(
        center,
        random_rotation(rng),
        resolution_range.window,
        resolution_range.spacing,
        resolution_range.label_radius,
        DENSITY_THRESHOLD,
    )
    density = window.density * np.float32(rng.normal(1.0, 0.08)) + np.float32(rng.normal(0.0, 0.03))
    return replace(window, density=np.clip(density, *CLIP))


def most_residues(resolution_range: ResolutionRange) -> int:
    """Return more residues, copies counted, than touch any window of a range."""
    return max(MAX_RESIDUES, round(MAX_RESIDUES * (resolution_range.window * resolution_range.spacing / 48.0) ** 3))


def tensors(window: Window, n_residues: int) -> dict[str, torch.Tensor]:
    """Return a window as tensors that can be stacked: its `points` are padded with NaN to `n_residues`."""
    points = np.full((n_residues, *window.points.shape[1:]), np.nan, np.float32)
    points[: len(window.points)] = window.points
    return {
        "density": torch.from_numpy(window.density)[None],
        "classes": torch.from_numpy(window.classes),
        "residues": torch.from_numpy(window.residues),
        "points": torch.from_numpy(points),
    }


class WindowStream(IterableDataset[dict[str, torch.Tensor]]):
    """Endless windows as tensors: density (1, n, n, n), classes and residues (n, n, n), and the points
    (`most_residues`, n_points, 3) in Å of these residues, see `Window`.

    Streams of different `seed` draw different crystals, and so do the workers of one stream.
    """

    def __init__(self, options: DataOptions, resolution_range: ResolutionRange, seed: tuple[int, ...]) -> None:
        self.options, self.range, self.seed = options, resolution_range, seed

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        info = get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([*self.seed, info.id if info else 0])
        source = CrystalSource(self.options, self.range)
        for crystal in visits(source.draw, self.options.pool, rng):
            yield tensors(random_window(crystal, self.range, rng), most_residues(self.range))
