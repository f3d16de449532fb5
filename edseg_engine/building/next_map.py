"""The map of the next cycle: phases of the refined model, with what the experiment knows of them."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.records import MapFile
from edseg_engine.crystal.phasing import Reflections, combined, density_modified, figure_of_merit
from edseg_engine.io.reflections import Amplitudes

#: Volume (Å³) of a residue in a crystal.
RESIDUE_VOLUME = 135.0
#: The solvent is not flattened where there is less of it than this.
_LEAST_SOLVENT = 0.2


def next_map(refined: MapFile, amplitudes: Amplitudes, folder: Path, residues: int, complete: bool) -> MapFile:
    """Return the map to read next.

    That is the refined model's 2mFo-DFc where there are no experimental phases; else m·Fo with the product of both
    phase distributions. While the model is not complete, the density of the solvent is flattened then.

    Parameters
    ----------
    refined
        Of servalcat: also holds FP, FOM and PHFC.
    amplitudes
        With the experimental phases, if there are any.
    folder
        Where to write it.
    residues
        Number of residues in the asymmetric unit, from which the solvent content follows.
    complete
        Whether all of them are there.
    """
    if amplitudes.hl is None:
        return refined
    mtz = gemmi.read_mtz_file(str(refined.path))
    columns = {label: np.array(mtz.column_with_label(label)) for label in ("FP", "FOM", "PHFC", "FWT", "PHWT")}
    known = np.isfinite(columns["FP"]) & np.isfinite(columns["FOM"]) & (columns["FP"] > 0)
    miller = mtz.make_miller_array()[known]
    model = (columns["FOM"] * np.exp(1j * np.radians(columns["PHWT"])))[known].astype(np.complex64)
    experiment = _experimental_centroids(amplitudes, miller)
    reflections = Reflections(
        mtz.cell, mtz.spacegroup, miller, columns["FP"][known].astype(np.float32), combined(experiment, model)
    )
    centroids = reflections.centroids
    solvent = 1 - residues * RESIDUE_VOLUME * len(mtz.spacegroup.operations()) / mtz.cell.volume
    if not complete and solvent > _LEAST_SOLVENT:
        centroids = density_modified(reflections, solvent)
    result = gemmi.Mtz(with_base=True)
    result.spacegroup = mtz.spacegroup
    result.set_cell_for_all(mtz.cell)
    result.add_dataset("edseg")
    result.add_column("FWT", "F")
    result.add_column("PHWT", "P")
    coefficients = reflections.amplitudes * centroids
    values = [*miller.T, np.abs(coefficients), np.degrees(np.angle(coefficients))]
    result.set_data(np.stack(values, 1).astype(np.float32))
    path = folder / "next.mtz"
    result.write_to_file(str(path))
    return MapFile(path, "FWT", "PHWT")


def _experimental_centroids(amplitudes: Amplitudes, miller: np.ndarray) -> np.ndarray:
    """Return the centroids (n,) of the experimental phases, from the terms A and B; 0 where there are none."""
    assert amplitudes.hl is not None
    a, b = (np.nan_to_num(amplitudes.hl[:, i]).astype(float) for i in (0, 1))
    strength = np.hypot(a, b)
    centroid = figure_of_merit(strength) * (a + 1j * b) / np.maximum(strength, 1e-9)
    data = gemmi.ComplexAsuData(
        amplitudes.cell, amplitudes.spacegroup, amplitudes.miller, centroid.astype(np.complex64)
    )
    data.ensure_asu()
    at = {tuple(hkl): i for i, hkl in enumerate(data.miller_array.tolist())}
    index = np.array([at.get(tuple(hkl), -1) for hkl in miller.tolist()])
    return np.where(index >= 0, data.value_array[index], 0).astype(np.complex64)
