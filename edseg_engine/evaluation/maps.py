"""Maps whose model is known: experimental, simulated, or a user's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edseg_engine.dataset.criteria import fold_of
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.dataset.phases import REFINED, PhaseQuality
from edseg_engine.dataset.simulate import SimulationOptions, simulate_map
from edseg_engine.errors import ResolutionError
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.residues.known import known_residues


def experimental_maps(
    folder: Path, split: str, low: float, high: float, cut: float | None = None, quality: PhaseQuality = REFINED
) -> Iterator[KnownMap]:
    """Yield the experimental crystals of a split whose resolution is in [low, high) Å.

    Parameters
    ----------
    cut
        d_min (Å) at which the data are cut.
    quality
        Of the phases, seeded by the crystal's place in the index; crystals without amplitudes are left out unless it is
        that of the refined model.
    """
    for number, entry in enumerate(read_index(folder, split)):
        if low <= entry.d_min < high:
            crystal, d_min = ExperimentalCrystal(entry), max(cut or 0.0, entry.d_min)
            if quality.kind == "refined":
                yield KnownMap(crystal.density(d_min), crystal.residues, entry.name, crystal.amplitudes)
            elif crystal.has_amplitudes:
                rng = np.random.default_rng([11, number])
                density = crystal.initial_density(d_min, quality, rng)
                yield KnownMap(density, crystal.residues, entry.name, crystal.amplitudes)


def simulated_maps(
    folder: Path, split: str, d_min: float, options: SimulationOptions, every: int = 1, fold: int | None = None
) -> Iterator[KnownMap]:
    """Yield simulated maps of every `every`-th structure of a split at `d_min` Å, seeded by its place in the split.

    With a `fold`, only the proteins of it count, see `edseg_engine.dataset.criteria.fold_of`.
    """
    everything = enumerate((pack, i) for pack in structures_of_split(folder, split) for i in range(len(pack)))
    chosen = (place for place in everything if fold in (None, fold_of(place[1][0].names[place[1][1]])))
    for number, (pack, i) in itertools.islice(chosen, 0, None, every):
        structure = pack[i]
        density = simulate_map(structure, d_min, np.random.default_rng([7, number]), options)
        yield KnownMap(density, known_residues(structure[0]), structure.name)


def one_map(map_path: Path, model_path: Path, d_min: float | None, *, amplitudes: bool = False) -> KnownMap:
    """Return a user's own map with its own model, and with the measured amplitudes of its file if asked for.

    Raises
    ------
    EdsegError
        If the map or the model cannot be read, or the resolution is not known.
    """
    density = read_map(map_path, resolution=d_min)
    if density.d_min is None:
        raise ResolutionError(f"{map_path} does not store its resolution; give it with --resolution.")
    residues = known_residues(read_model(model_path)[0])
    return KnownMap(density, residues, map_path.name, read_amplitudes(map_path) if amplitudes else None)
