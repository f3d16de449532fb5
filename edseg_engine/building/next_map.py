"""The map of the next cycle: phases of the refined model, with what the experiment says about them."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.building.records import MapFile
from edseg_engine.crystal.phasing import Reflections, combined, density_modified, values_at
from edseg_engine.io.map_coefficients import centroids
from edseg_engine.io.mtz import map_columns, write_mtz
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
    phases = reflections.centroids
    solvent = 1 - residues * RESIDUE_VOLUME * len(mtz.spacegroup.operations()) / mtz.cell.volume
    if not complete and solvent > _LEAST_SOLVENT:
        phases = density_modified(reflections, solvent)
    path = folder / "next.mtz"
    write_mtz(path, mtz.cell, mtz.spacegroup, miller, map_columns(reflections.amplitudes * phases))
    return MapFile(path, "FWT", "PHWT")


def _experimental_centroids(amplitudes: Amplitudes, miller: NDArray[np.int32]) -> NDArray[np.complex64]:
    """Return the centroids (n,) of the experimental phases of reflections (n, 3); 0 where there are none."""
    assert amplitudes.hl is not None
    known = np.isfinite(amplitudes.hl).all(1)
    hkl = amplitudes.miller[known]
    values = centroids(hkl, amplitudes.hl[known], amplitudes.spacegroup).astype(np.complex64)
    data = gemmi.ComplexAsuData(amplitudes.cell, amplitudes.spacegroup, hkl, values)
    data.ensure_asu()
    return values_at(miller, data.miller_array, data.value_array, 0)
