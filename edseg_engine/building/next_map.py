"""The map of the next cycle: phases of the refined model, with what was known of them before there was a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.building.records import MapFile
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import (
    Complex,
    Reflections,
    combined,
    density_modified,
    resolution_shells,
    values_at,
)
from edseg_engine.io.map_coefficients import centroids
from edseg_engine.io.mtz import map_columns, write_mtz
from edseg_engine.io.reflections import Amplitudes

#: Volume (Å³) of a residue in a crystal.
RESIDUE_VOLUME = 135.0
#: The solvent is not flattened where there is less of it than this.
_LEAST_SOLVENT = 0.2
#: How much the phases of a model count beside those of the map that it was built into: they are not independent.
_DEPENDENT = 0.5
#: Least and largest figure of merit of the phases of a map.
_LEAST_MERIT, _LARGEST_MERIT = 0.02, 0.95


def next_map(
    refined: MapFile, amplitudes: Amplitudes, start: DensityMap, folder: Path, residues: int, complete: bool
) -> MapFile:
    """Return the map to read next.

    It is m·Fo with the product of two phase distributions: that of the refined model, and that of the experiment.
    Without an experiment the phases of the map that the run began with take its place while the model is not complete:
    those of a partial model alone would be worse. The solvent is flattened then. A complete model needs nothing else.

    Parameters
    ----------
    refined
        Of servalcat: also holds FP and FOM.
    amplitudes
        With the experimental phases, if there are any.
    start
        The map that the run began with.
    folder
        Where to write it.
    residues
        Number of residues in the asymmetric unit, from which the solvent content follows.
    complete
        Whether all of them are there.
    """
    if amplitudes.hl is None and complete:
        return refined
    mtz = gemmi.read_mtz_file(str(refined.path))
    columns = {label: np.array(mtz.column_with_label(label)) for label in ("FP", "FOM", "PHWT")}
    known = np.isfinite(columns["FP"]) & np.isfinite(columns["FOM"]) & (columns["FP"] > 0)
    miller = mtz.make_miller_array()[known]
    model = (columns["FOM"] * np.exp(1j * np.radians(columns["PHWT"])))[known].astype(np.complex64)
    reflections = Reflections(mtz.cell, mtz.spacegroup, miller, columns["FP"][known].astype(np.float32), model)
    if amplitudes.hl is None:
        phases = combined(_map_centroids(start, reflections), model, _DEPENDENT)
    else:
        phases = combined(_experimental_centroids(amplitudes, miller), model)
    solvent = 1 - residues * RESIDUE_VOLUME * len(mtz.spacegroup.operations()) / mtz.cell.volume
    if not complete and solvent > _LEAST_SOLVENT:
        phases = density_modified(replace(reflections, centroids=phases), solvent)
    path = folder / "next.mtz"
    write_mtz(path, mtz.cell, mtz.spacegroup, miller, map_columns(reflections.amplitudes * phases))
    return MapFile(path, "FWT", "PHWT")


def _map_centroids(start: DensityMap, model: Reflections) -> Complex:
    """Return the centroids (n,) of the phases of a map, as certain as they agree with those of a model built into it.

    The agreement, the mean cosine of the difference in a resolution shell, is the product of both figures of merit if
    their errors are independent, and more as far as they are not.
    """
    grid = gemmi.FloatGrid(start.values, start.cell, start.spacegroup)
    values = gemmi.transform_map_to_f_phi(grid, half_l=True).get_value_by_hkl(model.miller)
    phases, others = (z / np.maximum(np.abs(z), 1e-9) for z in (values, model.centroids))
    merit = np.zeros(len(phases))
    for shell in resolution_shells(model.inv_d2):
        merit[shell] = (phases[shell] * others[shell].conj()).real.mean()
    return (np.clip(merit, _LEAST_MERIT, _LARGEST_MERIT) * phases).astype(np.complex64)


def _experimental_centroids(amplitudes: Amplitudes, miller: NDArray[np.int32]) -> NDArray[np.complex64]:
    """Return the centroids (n,) of the experimental phases of reflections (n, 3); 0 where there are none."""
    assert amplitudes.hl is not None
    known = np.isfinite(amplitudes.hl).all(1)
    hkl = amplitudes.miller[known]
    values = centroids(hkl, amplitudes.hl[known], amplitudes.spacegroup).astype(np.complex64)
    data = gemmi.ComplexAsuData(amplitudes.cell, amplitudes.spacegroup, hkl, values)
    data.ensure_asu()
    return values_at(miller, data.miller_array, data.value_array, 0)
