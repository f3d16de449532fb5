"""The map of the next cycle: phases of the refined model, with what was known of them before there was a model."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.experiment import write_map
from edseg_engine.building.records import MapFile
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import (
    Complex,
    Reflections,
    combined,
    map_coefficients,
    resolution_shells,
    unit,
    values_at,
    with_flatter_solvent,
)

#: How much the phases of a model that lacks much count: they are less certain than they seem, and not independent of
#: the map that it was built into.
_PARTIAL = 0.5
#: Share of the map with the phases of flipped solvent.
_OF_FLAT = 0.5
#: Least and largest figure of merit of the phases of a map.
_LEAST_MERIT, _LARGEST_MERIT = 0.02, 0.95


def next_map(
    refined: MapFile,
    start: DensityMap,
    experiment: Reflections | None,
    folder: Path,
    residues: int,
    complete: bool,
) -> MapFile:
    """Return the map to read next.

    It is m·Fo with the product of two phase distributions: that of the refined model, and that of the experiment.
    While the model is not complete, the solvent becomes flatter, too, and without an experiment the phases of the map
    that the run began with take its place: those of a partial model alone would be worse. A complete model needs
    nothing else.

    Parameters
    ----------
    refined
        Of servalcat: also holds FOM, PHFC, and FP or F_est.
    start
        The map that the run began with.
    experiment
        The experimental phases, if there are any.
    folder
        Where to write it.
    residues
        Number of residues in the asymmetric unit, from which the solvent content follows.
    complete
        Whether all of them are there.
    """
    if experiment is None and complete:
        return refined
    model = _model_phases(refined)
    if experiment is None:
        before = _map_centroids(start, model)
    else:
        before = values_at(model.miller, experiment.miller, experiment.centroids, 0)
    phases = combined(before, model.centroids, 1.0 if complete else _PARTIAL)
    coefficients = model.amplitudes * phases
    if not complete:
        coefficients = with_flatter_solvent(model, coefficients, residues, _OF_FLAT)
    return write_map(model, coefficients, folder / "next.mtz")


def _model_phases(refined: MapFile) -> Reflections:
    """Return the measured reflections with the phases of the refined model."""
    mtz = gemmi.read_mtz_file(str(refined.path))
    # Servalcat estimates the amplitudes where it refined against intensities, as the mean of the amplitude's projection
    # on the model's: m·F. PHWT would be turned where 2m·Fo is less than D·Fc.
    measured = "FP" if mtz.column_with_label("FP") else "F_est"
    f, merit, phase = (np.array(mtz.column_with_label(label)) for label in (measured, "FOM", "PHFC"))
    if measured == "F_est":
        f = f / np.where(merit > _LEAST_MERIT, merit, np.nan)
    known = np.isfinite(f) & np.isfinite(merit) & (f > 0)
    model = (merit * np.exp(1j * np.radians(phase)))[known].astype(np.complex64)
    return Reflections(mtz.cell, mtz.spacegroup, mtz.make_miller_array()[known], f[known].astype(np.float32), model)


def _map_centroids(start: DensityMap, model: Reflections) -> Complex:
    """Return the centroids (n,) of the phases of a map, as certain as they agree with those of a model built into it.

    The agreement, the mean cosine of the difference in a resolution shell, is the product of both figures of merit if
    their errors are independent, and more as far as they are not.
    """
    phases, others = unit(map_coefficients(start, model.miller)), unit(model.centroids)
    merit = np.zeros(len(phases))
    for shell in resolution_shells(model.inv_d2):
        merit[shell] = (phases[shell] * others[shell].conj()).real.mean()
    return (np.clip(merit, _LEAST_MERIT, _LARGEST_MERIT) * phases).astype(np.complex64)
