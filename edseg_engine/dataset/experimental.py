"""Experimental crystals: a folder with one sub-folder for each, holding map coefficients and the refined model.

The folder has an ``index.tsv`` with at least the columns ``id``, ``split`` and ``resolution``; each sub-folder
``data.mtz.gz`` (FWT, PHWT) and ``model.cif.gz``, or the same without gzip.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.dataset.labelled import KnownResidues, known_residues
from edseg_engine.errors import TrainingDataError


@dataclass(frozen=True)
class ExperimentalEntry:
    """One line of the index: where the data lie and how far they reach (d_min in Å)."""

    name: str
    split: str
    d_min: float
    folder: Path

    @property
    def data_path(self) -> Path:
        return _packed_or_not(self.folder / "data.mtz")

    @property
    def model_path(self) -> Path:
        return _packed_or_not(self.folder / "model.cif")


def _packed_or_not(path: Path) -> Path:
    return path if path.exists() else path.with_name(path.name + ".gz")


def read_index(folder: Path, split: str) -> list[ExperimentalEntry]:
    """Return the entries of a split.

    Raises
    ------
    TrainingDataError
        If the index cannot be read or has no entry of the split.
    """
    try:
        with open(folder / "index.tsv", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        entries = [
            ExperimentalEntry(r["id"], r["split"], float(r["resolution"]), folder / r["id"])
            for r in rows
            if r["split"] == split
        ]
    except (OSError, KeyError, ValueError) as error:
        raise TrainingDataError(f"{folder / 'index.tsv'} cannot be read as an index of crystals ({error}).") from error
    if not entries:
        raise TrainingDataError(f"{folder / 'index.tsv'} has no crystal of the split {split!r}.")
    return entries


class ExperimentalCrystal:
    """Map coefficients and model of one crystal, ready to be cut at any resolution."""

    def __init__(self, entry: ExperimentalEntry) -> None:
        self.entry = entry
        mtz = gemmi.read_mtz_file(str(entry.data_path))
        data = mtz.get_f_phi("FWT", "PHWT")
        good = np.isfinite(data.value_array)
        self._cell, self._spacegroup = data.unit_cell, data.spacegroup
        self._miller, self._f = data.miller_array[good], data.value_array[good]
        self._inv_d2 = gemmi.ComplexAsuData(self._cell, self._spacegroup, self._miller, self._f).make_1_d2_array()
        self.residues: KnownResidues = known_residues(gemmi.read_structure(str(entry.model_path))[0])

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
        inv_d2 = self._inv_d2[keep].astype(np.float64)
        f = self._f[keep] * np.exp(-b_add * inv_d2 / 4)
        if phase_error and rng is not None:
            f = f * np.exp(1j * rng.normal(size=len(f)) * phase_error * inv_d2 * d_min**2)
        data = gemmi.ComplexAsuData(self._cell, self._spacegroup, self._miller[keep], f.astype(np.complex64))
        values = np.ascontiguousarray(data.transform_f_phi_to_map(sample_rate=3.0).array, dtype=np.float32)
        return DensityMap(
            values,
            MapGrid(self._cell, self._spacegroup, values.shape),
            d_min=d_min,
            source={"file": str(self.entry.data_path)},
        )
