"""Reflections with phases, from MTZ or structure-factor mmCIF, to a density map of the whole cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.checks import check_cell, check_values, describe
from edseg_engine.errors import MapContentError, MapFormatError, OptionError, PhaseError, ResolutionError
from edseg_engine.maps import DensityMap

#: Usual labels of map coefficients (amplitude, phase), the likeliest first.
MAP_COEFFICIENTS: tuple[tuple[str, str], ...] = (
    ("FWT", "PHWT"),  # REFMAC, Servalcat, Phaser, RESOLVE; also pdbx_FWT of mmCIF
    ("2FOFCWT", "PH2FOFCWT"),  # Phenix, BUSTER
    ("2FOFCWT_no_fill", "PH2FOFCWT_no_fill"),
    ("FWT", "PHIFWT"),
    ("FWT", "PHFWT"),
    ("2FOFC", "PHI2FOFC"),
    ("2FOFC", "PH2FOFC"),
    ("FDM", "PHIDM"),  # DM, SOLOMON
    ("parrot.F_phi.F", "parrot.F_phi.phi"),
    ("pirate.F_phi.F", "pirate.F_phi.phi"),
    ("F_phi.F", "F_phi.phi"),
)
#: Observed amplitudes; phases and their figures of merit, where a map has to be made of these.
_AMPLITUDES = ("FP", "F", "F-obs-filtered", "F-obs", "FOBS", "Fobs", "FO", "FOSC")
_PHASES = (
    ("PHIB", "FOM"),
    ("PHIM", "FOMM"),
    ("PHIM", "FOM"),
    ("PHIDM", "FOMDM"),
    ("PHI", "FOM"),
    ("PHIC_ALL", "FOM"),
    ("PHIC", "FOM"),
)
#: Grid points per d_min.
_SAMPLE_RATE = 3.0
_FINEST = 0.4
#: A grid below this size is made without asking whether so few reflections deserve it.
_SMALL_GRID = 20_000_000


@dataclass(frozen=True)
class Columns:
    """Labels of the columns that make a map."""

    amplitude: str
    phase: str
    weight: str | None = None


def read_mtz(
    path: Path, name: str, resolution: float | None = None, f_label: str | None = None, phi_label: str | None = None
) -> DensityMap:
    """Read an MTZ file, not compressed; see `map_from_reflections`."""
    try:
        mtz = gemmi.read_mtz_file(str(path), with_data=False)
        if 80 + 4 * len(mtz.columns) * mtz.nreflections > path.stat().st_size:
            raise MapFormatError(f"{name} is truncated: it is too short for its {mtz.nreflections} reflections.")
        mtz = gemmi.read_mtz_file(str(path))
        return map_from_reflections(mtz, name, "MTZ", resolution, f_label, phi_label)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise MapFormatError(f"{name} is a damaged MTZ file: {_reason(error, path, name)}.") from error


def read_sf_cif(
    path: Path, name: str, resolution: float | None = None, f_label: str | None = None, phi_label: str | None = None
) -> DensityMap:
    """Read the first block of a structure-factor mmCIF, not compressed, that has phases.

    Columns go by the names that they have in MTZ files (FWT, PHWT, FP, PHIC, FOM, ...).
    """
    try:
        blocks = gemmi.as_refln_blocks(gemmi.cif.read(str(path)))
        tables = [gemmi.CifToMtz().convert_block_to_mtz(b) for b in blocks if b.default_loop]
        if not tables:
            raise MapFormatError(f"{name} is an mmCIF file without reflections; give structure factors or a map.")
        first_error = None
        for mtz in tables:
            try:
                return map_from_reflections(mtz, name, "mmCIF", resolution, f_label, phi_label)
            except PhaseError as error:
                first_error = first_error or error
    except (RuntimeError, ValueError, MemoryError) as error:
        raise MapFormatError(f"{name} is a damaged mmCIF file: {_reason(error, path, name)}.") from error
    raise first_error or PhaseError(f"{name} has no reflections.")


def _reason(error: Exception, path: Path, name: str) -> str:
    lines = str(error).replace(str(path), name).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def find_columns(mtz: gemmi.Mtz, name: str, f_label: str | None = None, phi_label: str | None = None) -> Columns:
    """Find the columns to make a map of: those named, else map coefficients, else amplitudes with phases.

    Raises
    ------
    OptionError
        Only one of the two labels is given.
    PhaseError
        The labels do not exist, or there are no phases; the message lists the columns of the file.
    """
    types = {column.label: column.type for column in mtz.columns}
    present = "its columns are " + ", ".join(f"{label} ({kind})" for label, kind in types.items() if kind != "H")
    if f_label or phi_label:
        if not (f_label and phi_label):
            raise OptionError("Columns of map coefficients go in pairs: name the amplitude and the phase.")
        for label, kinds, meaning in ((f_label, "FGRE", "amplitude"), (phi_label, "P", "phase")):
            if types.get(label, " ") not in kinds:
                raise PhaseError(f"{name} has no {meaning} column {label}; {present}.")
        return Columns(f_label, phi_label)
    for amplitude, phase in MAP_COEFFICIENTS:
        if types.get(amplitude) == "F" and types.get(phase) == "P":
            return Columns(amplitude, phase)
    amplitude = next((label for label in _AMPLITUDES if types.get(label) == "F"), "")
    for phase, weight in _PHASES:
        if amplitude and types.get(phase) == "P":
            return Columns(amplitude, phase, weight if types.get(weight) == "W" else None)
    raise PhaseError(f"{name} has neither map coefficients (such as FWT/PHWT) nor phases that a map needs; {present}.")


def map_from_reflections(
    mtz: gemmi.Mtz,
    name: str,
    file_format: str,
    resolution: float | None = None,
    f_label: str | None = None,
    phi_label: str | None = None,
) -> DensityMap:
    """Calculate the map of the whole cell.

    Parameters
    ----------
    mtz
        The reflections.
    name, file_format
        For messages and the report.
    resolution
        d_min in Å: finer reflections are left out. None takes all that have values.
    f_label, phi_label
        Columns of the map coefficients; see `find_columns`.
    """
    columns = find_columns(mtz, name, f_label, phi_label)
    if mtz.spacegroup is None:
        raise MapFormatError(f"{name} does not tell its space group.")
    cell = check_cell(mtz.get_cell(mtz.column_with_label(columns.amplitude).dataset_id).parameters, name)
    hkl, coefficients = _coefficients(mtz, columns)
    if not len(hkl):
        raise PhaseError(f"{name} has no values in its columns {columns.amplitude} and {columns.phase}.")
    d = cell.calculate_d_array(hkl)
    if d.min() < _FINEST:
        raise MapContentError(f"{name} has reflections to {d.min():.2g} Å: its cell or its indices are wrong.")
    if resolution is not None:
        kept = d >= resolution * (1 - 1e-6)
        if not kept.any():
            raise ResolutionError(f"{name} has no reflections to {resolution:g} Å; its coarsest is {d.max():.2f} Å.")
        hkl, coefficients, d = hkl[kept], coefficients[kept], d[kept]
    data = gemmi.ComplexAsuData(cell, mtz.spacegroup, hkl, coefficients)
    points = np.prod([float(n) for n in data.get_size_for_hkl(sample_rate=_SAMPLE_RATE)])
    if points > max(_SMALL_GRID, 500 * len(mtz.spacegroup.operations()) * len(hkl)):
        raise MapContentError(
            f"{name} has only {len(hkl)} reflections in a sphere of {d.min():.2f} Å: no map is in them."
        )
    values = data.transform_f_phi_to_map(sample_rate=_SAMPLE_RATE).array
    check_values(values, name)
    d_min = resolution or float(d.min())
    used = [columns.amplitude, columns.phase] + ([columns.weight] if columns.weight else [])
    return DensityMap(
        values=values,
        cell=cell,
        spacegroup=mtz.spacegroup,
        sampling=values.shape,
        d_min=d_min,
        source={
            "file": name,
            "format": file_format,
            "columns": used,
            "reflections": len(hkl),
            **describe(values, cell, mtz.spacegroup),
            "sampling": list(values.shape),
            "start": [0, 0, 0],
            "extent": list(values.shape),
            "origin": [0.0, 0.0, 0.0],
            "d_min": d_min,
            "periodic": True,
        },
    )


def _coefficients(mtz: gemmi.Mtz, columns: Columns) -> tuple[NDArray[np.int32], NDArray[np.complex64]]:
    """Return Miller indices (n, 3) and complex map coefficients (n,) of the reflections that have values."""
    amplitude = np.array(mtz.column_with_label(columns.amplitude), dtype=np.float32)
    phase = np.radians(np.array(mtz.column_with_label(columns.phase), dtype=np.float32))
    if columns.weight:
        amplitude *= np.array(mtz.column_with_label(columns.weight), dtype=np.float32)
    known = np.isfinite(amplitude) & np.isfinite(phase)
    coefficients = amplitude[known] * np.exp(1j * phase[known])
    return np.ascontiguousarray(mtz.make_miller_array()[known]), coefficients.astype(np.complex64)
