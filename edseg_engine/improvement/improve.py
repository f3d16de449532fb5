"""Cycles of reading a map and phasing the next one with what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import gemmi
import numpy as np

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.phasing import (
    Complex,
    Reflections,
    as_strong,
    map_coefficients,
    map_values,
    model_phased,
    with_flatter_solvent,
)
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import EdsegError, OptionError
from edseg_engine.improvement.averaging import averaged_over_copies
from edseg_engine.improvement.expected import ReadResidues, expected_model
from edseg_engine.improvement.occupancies import weighed
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.residues.superpositions import find_superpositions

#: Shares in the next map: of the model's, of the map before, and of the map that the cycles began with. The last two
#: know what the model lacks, and keep its errors from growing.
_OF_MODEL, _OF_LAST, _OF_FIRST = 0.5, 0.35, 0.15
#: Largest share in the map that is read of the one with the phases of flipped solvent, which adds where others are
#: poor and takes away where they are good.
_MOST_OF_FLAT = 0.6
#: Cells of one crystal differ by less than this share in their edges and these degrees in their angles.
_SAME_EDGE, _SAME_ANGLE = 0.01, 1.0
#: Share of the reflections that must have been measured.
_LEAST_COMPLETE = 0.3
#: The second map may lose this much confidence: it knows what the first has wrong, and later ones gain.
_LOSS = 0.05
#: A reading of which more is sure, in the mean over its residues, is good enough.
_SURE = 0.9

#: Whatever a caller makes of a map.
Reading = TypeVar("Reading")


def best_reading(
    start: DensityMap,
    amplitudes: Amplitudes,
    cycles: int,
    read: Callable[[DensityMap], Reading],
    residues_of: Callable[[Reading], ReadResidues],
) -> Reading:
    """Return the surest reading of a map, or of those that follow from it with better phases.

    Each reading makes a model of one asymmetric unit (`expected_model`), whose sigmaA-weighted 2mFo-DFc coefficients
    are averaged with those of the maps before. What is read is this map with a flatter solvent, the more so the less
    sure the reading is (`with_flatter_solvent`), and with the mean density of copies of a molecule
    (`averaged_over_copies`). This ends with the first map that is read less surely than the one before it; the second
    may be read a little less surely than the first.

    Parameters
    ----------
    start
        A map of the crystal, with its resolution.
    amplitudes
        What was measured of it.
    cycles
        At most so many maps are read.
    read
        Reads a map.
    residues_of
        Returns the residues that a reading found, each once in an asymmetric unit.

    Raises
    ------
    OptionError
        See `require_crystal`.
    """
    require_crystal(start, amplitudes)
    measured, symmetry = _measured(amplitudes, float(start.d_min or 0.0)), Symmetry(start.cell, start.spacegroup)
    first = last = map_coefficients(start, measured.miller)
    density, best = start, read(start)
    residues = residues_of(best)
    for number in range(1, cycles):
        if not len(residues) or (sureness := float(residues.confidence.mean())) > _SURE:
            break
        if not (of_model := _model_coefficients(measured, density, residues)).any():
            break
        last = _OF_MODEL * of_model + _OF_LAST * as_strong(last, of_model) + _OF_FIRST * as_strong(first, of_model)
        flatter = with_flatter_solvent(measured, last, len(residues), min(1 - sureness, _MOST_OF_FLAT))
        density = _map(measured, as_strong(flatter, first), start, number + 1)
        copies = find_superpositions(residues.atoms, residues.probabilities, symmetry)
        density = averaged_over_copies(density, copies)
        try:
            reading = read(density)
        except EdsegError:  # what was read before stays
            break
        found = residues_of(reading)
        least = sureness - (_LOSS if number == 1 else 0.0)
        if not len(found) or found.confidence.mean() <= least:
            break
        best, residues = reading, found
    return best


def require_crystal(density: DensityMap, amplitudes: Amplitudes) -> None:
    """Check that a map is that of a whole crystal, and that enough was measured of the same.

    Raises
    ------
    OptionError
        If not.
    """
    if not density.periodic or any(density.grid.origin):
        raise OptionError("Phases are improved in the map of a whole crystal only: leave --cycles away.")
    cell, spacegroup, d_min = density.cell, density.spacegroup, float(density.d_min or 0.0)
    if spacegroup.xhm() != amplitudes.spacegroup.xhm() or not cell.is_similar(amplitudes.cell, _SAME_EDGE, _SAME_ANGLE):
        raise OptionError("The measured amplitudes are not those of the map's crystal: leave --cycles away.")
    possible = len(gemmi.make_miller_array(cell, spacegroup, d_min))
    measured = int((amplitudes.cut(d_min).f > 0).sum())
    if measured < _LEAST_COMPLETE * possible:
        raise OptionError(
            f"The file has {measured} measured amplitudes of {possible} reflections to {d_min:g} Å, too few to improve "
            "phases: leave --cycles away."
        )


def _measured(amplitudes: Amplitudes, d_min: float) -> Reflections:
    """Return the amplitudes to `d_min` Å, in the asymmetric unit; phases are not known."""
    miller, f = amplitudes.cut(d_min).in_asymmetric_unit()
    return Reflections(amplitudes.cell, amplitudes.spacegroup, miller, f, np.zeros(len(f), np.complex64))


def _model_coefficients(measured: Reflections, density: DensityMap, read: ReadResidues) -> Complex:
    """Return 2mFo-DFc coefficients (n,) of the model of what was found."""
    f_calc = weighed(expected_model(density, read), measured)
    return model_phased(measured.amplitudes, f_calc, measured.inv_d2)


def _map(measured: Reflections, coefficients: Complex, like: DensityMap, cycle: int) -> DensityMap:
    values = map_values(measured.cell, measured.spacegroup, measured.miller, coefficients)
    grid, source = MapGrid(like.cell, like.spacegroup, values.shape), {**like.source, "cycle": cycle}
    return replace(like, values=values, grid=grid, source=source, cycle=cycle)
