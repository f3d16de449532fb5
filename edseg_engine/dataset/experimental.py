"""Experimental crystals: a folder with one sub-folder for each, holding map coefficients and the refined model.

The folder has an ``index.tsv`` with at least the columns ``id``, ``split`` and ``resolution``; each sub-folder
``data.mtz.gz`` (FWT, PHWT) and ``model.cif.gz``, or the same without gzip. ``docs/training.md`` describes all columns.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import Complex, Reflections, map_values, reciprocal_lengths, values_at
from edseg_engine.dataset.phases import PhaseQuality, initial_coefficients
from edseg_engine.errors import TrainingDataError
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.names import shown
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.residues.known import KnownResidues, known_residues


@dataclass(frozen=True)
class ExperimentalEntry:
    """One line of the index.

    Attributes
    ----------
    name, split
        Of the crystal.
    d_min
        How far its data reach, in Å.
    folder
        Where they lie.
    sequences
        One-letter code of each protein chain of the asymmetric unit; empty if the index does not say.
    r_free
        Of the refined model; None if the index does not say.
    """

    name: str
    split: str
    d_min: float
    folder: Path
    sequences: tuple[str, ...] = ()
    r_free: float | None = None

    @property
    def data_path(self) -> Path:
        return _packed_or_not(self.folder / "data.mtz")

    @property
    def model_path(self) -> Path:
        return _packed_or_not(self.folder / "model.cif")


def _packed_or_not(path: Path) -> Path:
    return path if path.exists() else path.with_name(path.name + ".gz")


def read_index(folder: Path, split: str | None = None) -> list[ExperimentalEntry]:
    """Return the entries of a split; without one, those of all.

    Raises
    ------
    TrainingDataError
        If the index cannot be read or has no such entry.
    """
    try:
        with open(folder / "index.tsv", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        entries = [_entry(folder, row) for row in rows if split in (None, row["split"])]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise TrainingDataError(f"{folder / 'index.tsv'} cannot be read as an index of crystals ({error}).") from error
    if not entries:
        raise TrainingDataError(
            f"{folder / 'index.tsv'} lists no crystals{f' of the split {split!r}' if split else ''}."
        )
    return entries


def _entry(folder: Path, row: Mapping[str, str]) -> ExperimentalEntry:
    return ExperimentalEntry(
        row["id"],
        row["split"],
        float(row["resolution"]),
        folder / row["id"],
        tuple(filter(None, (row.get("sequences") or "").split("|"))),
        float(row["r_free"]) if row.get("r_free") else None,
    )


class ExperimentalCrystal:
    """Map coefficients and model of one crystal, ready to be cut at any resolution.

    Raises
    ------
    TrainingDataError
        If the map coefficients cannot be read.
    ModelFormatError
        If the model cannot be read.
    """

    def __init__(self, entry: ExperimentalEntry) -> None:
        self.entry = entry
        try:
            mtz = gemmi.read_mtz_file(str(entry.data_path))
            data = mtz.get_f_phi("FWT", "PHWT")
        except (OSError, RuntimeError, ValueError) as error:
            raise TrainingDataError(f"{shown(entry.data_path)} cannot be read: {error}.") from error
        good = np.isfinite(data.value_array)
        self._cell, self._spacegroup = data.unit_cell, data.spacegroup
        self._miller, self._f = data.miller_array[good], data.value_array[good]
        self._inv_d2 = reciprocal_lengths(self._cell, self._spacegroup, self._miller)
        self.structure = read_model(entry.model_path)
        self.residues: KnownResidues = known_residues(self.structure[0])
        self._amplitudes = _amplitudes(mtz, self._miller)

    @property
    def finest(self) -> float:
        """d_min in Å of the map coefficients."""
        return float(self._inv_d2.max() ** -0.5)

    @property
    def has_amplitudes(self) -> bool:
        """Whether the measured amplitudes are there, from which maps of poorer phases can be made."""
        return self._amplitudes is not None

    @property
    def amplitudes(self) -> Amplitudes | None:
        """The measured amplitudes, if they are there."""
        if self._amplitudes is None:
            return None
        known = np.isfinite(self._amplitudes)
        f = self._amplitudes[known]
        return Amplitudes(self._miller[known], f, None, None, None, self._cell, self._spacegroup, ("F",))

    def density(
        self, d_min: float, *, b_add: float = 0.0, phase_error: float = 0.0, rng: np.random.Generator | None = None
    ) -> DensityMap:
        """Return the map cut at `d_min` Å, made worse on demand.

        Parameters
        ----------
        b_add
            B-factor (Å²) by which the map is blurred (negative: sharpened).
        phase_error
            Standard deviation of errors added to the phases (radians) at the resolution limit, growing with 1/d².
        """
        keep = self._inv_d2 <= 1 / d_min**2
        inv_d2 = self._inv_d2[keep]
        f = self._f[keep] * np.exp(-b_add * inv_d2 / 4)
        if phase_error and rng is not None:
            f = f * np.exp(1j * rng.normal(size=len(f)) * phase_error * inv_d2 * d_min**2)
        return self._map(self._miller[keep], f, d_min, {"file": str(self.entry.data_path)})

    def initial_density(self, d_min: float, quality: PhaseQuality, rng: np.random.Generator) -> DensityMap:
        """Return a map of the measured amplitudes to `d_min` Å with phases as before the structure was solved.

        Raises
        ------
        TrainingDataError
            If the file has no amplitudes F.
        """
        initial = self.initial_phases(d_min, quality, rng)
        f = initial.amplitudes * initial.centroids
        return self._map(initial.miller, f, d_min, {"file": str(self.entry.data_path), "phases": quality.kind})

    def initial_phases(self, d_min: float, quality: PhaseQuality, rng: np.random.Generator) -> Reflections:
        """Return the measured amplitudes to `d_min` Å with such phases; amplitude times centroid is a map coefficient.

        Raises
        ------
        TrainingDataError
            If the file has no amplitudes F.
        """
        if self._amplitudes is None:
            raise TrainingDataError(f"{self.entry.data_path} has no amplitudes F; only its own map can be used.")
        keep = np.isfinite(self._amplitudes) & (self._inv_d2 <= 1 / d_min**2)
        true = Reflections(self._cell, self._spacegroup, self._miller[keep], self._amplitudes[keep], self._f[keep])
        f = initial_coefficients(true, self.structure, quality, rng)
        return replace(true, centroids=(f / np.maximum(true.amplitudes, 1e-6)).astype(np.complex64))

    def _map(self, miller: NDArray[np.int32], f: Complex, d_min: float, source: dict[str, object]) -> DensityMap:
        values = map_values(self._cell, self._spacegroup, miller, f)
        return DensityMap(values, MapGrid(self._cell, self._spacegroup, values.shape), d_min=d_min, source=source)


def _amplitudes(mtz: gemmi.Mtz, miller: NDArray[np.int32]) -> NDArray[np.float32] | None:
    """Return the amplitudes (F, else FP) of reflections (n, 3), NaN where one was not measured; None without any."""
    label = next((label for label in ("F", "FP") if label in mtz.column_labels()), None)
    if label is None:
        return None
    data = mtz.get_float(label)
    return values_at(miller, data.miller_array, data.value_array, np.nan)
