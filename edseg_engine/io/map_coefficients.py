"""From a reflection table to the density map of the whole cell."""

from __future__ import annotations

from collections.abc import Iterator

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import MIN_SAMPLING, DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.errors import MapContentError, MapFormatError, PhaseError, ResolutionError
from edseg_engine.io.columns import Columns, find_columns
from edseg_engine.io.reflections import ReflectionTable, known_spacegroup
from edseg_engine.io.validation import check_cell, check_points, check_values, described
from edseg_engine.memory import require_memory

_SAMPLE_RATE = 3.0  # grid points per d_min
_FINEST = 0.4
#: A grid of fewer points is made without asking whether so few reflections deserve it.
_SMALL_GRID = 20_000_000
#: Bytes for each grid point while a map is calculated and checked.
_BYTES_PER_POINT = 12
#: The finest reflection of a map of some resolution is at most so many times as coarse as that.
_AS_FINE = 1.05
#: Phases at which a Hendrickson-Lattman distribution is summed: finer than the sharpest that occur.
_PHASES = np.radians(np.arange(0.0, 360.0, 3.0))
_AT_ONCE = 1 << 15


def map_of_tables(
    tables: list[ReflectionTable],
    name: str,
    file_format: str,
    resolution: float | None = None,
    f_label: str | None = None,
    phi_label: str | None = None,
) -> DensityMap:
    """Calculate the map of the first table that has phases.

    Parameters
    ----------
    tables
        The tables of a file.
    name, file_format
        For messages and the report.
    resolution
        d_min in Å: finer reflections are left out. None takes all that have values.
    f_label, phi_label
        Columns of the map coefficients; see `find_columns`.

    Raises
    ------
    PhaseError, OptionError
        See `find_columns`; or the columns have no values.
    MapFormatError
        The file does not say its space group.
    MapContentError
        Cell, indices or the resulting map make no sense.
    ResolutionError
        No reflections are left.
    DeviceError
        There is not enough memory.
    """
    without_phases: PhaseError | None = None
    for table in tables:
        try:
            columns = find_columns(table.types, name, f_label, phi_label)
            return _map(table, columns, name, file_format, resolution)
        except PhaseError as error:
            without_phases = without_phases or error
        except (RuntimeError, ValueError) as error:
            raise MapFormatError(f"{name} is a damaged {file_format} file: {error}.") from error
    raise without_phases or MapFormatError(f"{name} has no reflections.")


def _map(table: ReflectionTable, columns: Columns, name: str, file_format: str, resolution: float | None) -> DensityMap:
    cell = check_cell(table.cell_of(columns.amplitude), name)
    spacegroup = known_spacegroup(table, cell, name)
    hkl, coefficients = _coefficients(table, columns, spacegroup)
    if not len(hkl):
        raise PhaseError(f"{name} has no values in its columns {' and '.join(columns.labels)}.")
    d = cell.calculate_d_array(hkl)
    if resolution is not None:
        kept = d >= resolution * (1 - 1e-6)
        if not kept.any():
            raise ResolutionError(f"{name} has no reflections to {resolution:g} Å; its coarsest is {d.max():.2f} Å.")
        hkl, coefficients, d = hkl[kept], coefficients[kept], d[kept]
    if d.min() < _FINEST:
        raise MapContentError(f"{name} has reflections to {d.min():.2g} Å: its cell or its indices are wrong.")
    data = gemmi.ComplexAsuData(cell, spacegroup, hkl, coefficients)
    least = [MIN_SAMPLING] * 3
    n_points = float(np.prod([float(n) for n in data.get_size_for_hkl(least, _SAMPLE_RATE)]))
    if n_points > max(_SMALL_GRID, 500 * len(spacegroup.operations()) * len(hkl)):
        raise MapContentError(f"{name} has only {len(hkl)} reflections to {d.min():.2f} Å: these make no map.")
    check_points(n_points, name)
    require_memory(_BYTES_PER_POINT * n_points, f"The map of {name}", "close other programs, or cut the resolution")
    values = data.transform_f_phi_to_map(least, _SAMPLE_RATE).array
    check_values(values, name)
    finest = float(d.min())
    d_min = finest if resolution is None or finest >= resolution * _AS_FINE else resolution
    warnings = tuple(_warnings(columns, name, resolution or d_min, d_min))
    density = DensityMap(values, MapGrid(cell, spacegroup, values.shape), d_min=d_min, warnings=warnings)
    return described(
        density, name, file_format, columns=columns.labels, coefficients=columns.made_of, reflections=len(hkl)
    )


def _warnings(columns: Columns, name: str, resolution: float, d_min: float) -> Iterator[str]:
    if columns.is_measured:
        yield f"{name} has no map coefficients; its map is {columns.made_of}."
    if d_min > resolution:
        yield (
            f"{name} has no reflections finer than {d_min:.2f} Å, which counts in place of the {resolution:g} Å given."
        )


@np.errstate(invalid="ignore", over="ignore")  # what is not finite is left out
def _coefficients(
    table: ReflectionTable, columns: Columns, spacegroup: gemmi.SpaceGroup
) -> tuple[NDArray[np.int32], NDArray[np.complex64]]:
    """Return Miller indices (n, 3) and complex map coefficients (n,) of the reflections that have values."""
    amplitude = table.column(columns.amplitude)
    if columns.phase:
        weighted_phase = np.exp(1j * np.radians(table.column(columns.phase).astype(float)))
    else:
        hl = np.stack([table.column(label) for label in columns.hl], axis=1)
        weighted_phase = centroids(table.hkl, hl, spacegroup)
    if columns.weight:
        weighted_phase = weighted_phase * table.column(columns.weight)
    coefficients = amplitude * weighted_phase
    known = np.isfinite(coefficients)
    return np.ascontiguousarray(table.hkl[known]), coefficients[known].astype(np.complex64)


def centroids(hkl: NDArray[np.int32], hl: NDArray[np.float32], spacegroup: gemmi.SpaceGroup) -> NDArray[np.complex128]:
    """Return the centroids of phase distributions: the figure of merit m times exp(iφ).

    The distribution is P(φ) ~ exp(A cos φ + B sin φ + C cos 2φ + D sin 2φ), over the whole circle or, for a centric
    reflection, over the two phases that symmetry leaves it.

    Parameters
    ----------
    hkl
        Miller indices, shape (n, 3).
    hl
        A, B, C and D, shape (n, 4); NaN gives NaN.
    spacegroup
        Decides which reflections are centric.

    Returns
    -------
    NDArray[np.complex128]
        Shape (n,).
    """
    result = np.empty(len(hkl), complex)
    allowed = _centric_phases(hkl, spacegroup)
    centric = np.flatnonzero(np.isfinite(allowed))
    result[centric] = _mean_vector(hl[centric], allowed[centric, None] + [0.0, np.pi])
    general = np.flatnonzero(np.isnan(allowed))
    for at in range(0, len(general), _AT_ONCE):
        some = general[at : at + _AT_ONCE]
        result[some] = _mean_vector(hl[some], _PHASES[None])
    return result


def _mean_vector(hl: NDArray[np.float32], phases: NDArray[np.float64]) -> NDArray[np.complex128]:
    a, b, c, d = hl.astype(float).T[..., None]
    log_p = a * np.cos(phases) + b * np.sin(phases) + c * np.cos(2 * phases) + d * np.sin(2 * phases)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    with np.errstate(invalid="ignore"):  # missing coefficients
        return np.asarray((p * np.exp(1j * phases)).sum(1) / p.sum(1))


def _centric_phases(hkl: NDArray[np.int32], spacegroup: gemmi.SpaceGroup) -> NDArray[np.float64]:
    """Return one of the two phases, shape (n,), in radians, of each centric reflection; NaN for the others."""
    result = np.full(len(hkl), np.nan)
    for op in spacegroup.operations().sym_ops:
        rotation, translation = np.array(op.rot) // op.DEN, np.array(op.tran) / op.DEN
        opposite = (hkl @ rotation == -hkl).all(1)
        result[opposite] = np.pi * (hkl[opposite] @ translation)
    return result
