"""Reflections with phases, from MTZ or structure-factor mmCIF, to a density map of the whole cell."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import MIN_SAMPLING, DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.errors import MapContentError, MapFormatError, OptionError, PhaseError, ResolutionError
from edseg_engine.io.validation import check_cell, check_symmetry, check_values, described

#: Usual labels of map coefficients (amplitude, phase), the likeliest first.
MAP_COEFFICIENTS: tuple[tuple[str, str], ...] = (
    ("FWT", "PHWT"),  # REFMAC, Servalcat, Phaser, RESOLVE
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
    ("pdbx_FWT", "pdbx_PHWT"),  # mmCIF
)
#: Measured amplitudes, and phases with their figures of merit, where a map has to be made of these.
_AMPLITUDES = ("FP", "F", "F-obs-filtered", "F-obs", "FOBS", "Fobs", "FO", "F_meas_au", "F_meas")
_PHASES = (
    ("PHIB", "FOM"),
    ("PHIM", "FOMM"),
    ("PHIM", "FOM"),
    ("PHIDM", "FOMDM"),
    ("PHI", "FOM"),
    ("phase_meas", "fom"),
    ("PHIC_ALL", "FOM"),
    ("PHIC", "FOM"),
    ("phase_calc", "fom"),
)
#: MTZ column types (F amplitude, P phase, W weight) of the mmCIF items that can make a map.
_CIF_TYPES = {
    **dict.fromkeys(("F_meas_au", "F_meas", "F_calc_au", "F_calc", "pdbx_FWT", "pdbx_DELFWT"), "F"),
    **dict.fromkeys(("phase_meas", "phase_calc", "pdbx_PHWT", "pdbx_DELPHWT"), "P"),
    "fom": "W",
}
_SAMPLE_RATE = 3.0  # grid points per d_min
_FINEST = 0.4
#: A grid of fewer points is made without asking whether so few reflections deserve it.
_SMALL_GRID = 20_000_000


@dataclass(frozen=True)
class Columns:
    """Labels of the columns that make a map."""

    amplitude: str
    phase: str
    weight: str | None = None

    @property
    def labels(self) -> list[str]:
        return [self.amplitude, self.phase] + ([self.weight] if self.weight else [])


@dataclass(frozen=True)
class Reflections:
    """A reflection table.

    Attributes
    ----------
    types
        MTZ column type of each label ("F" amplitude, "P" phase, "W" weight, ...; "?" unknown).
    hkl
        Miller indices, shape (n, 3).
    column
        Gives the values (n,) of a label; NaN where they are missing.
    cell_of
        Gives a, b, c, alpha, beta, gamma that belong to a label.
    """

    types: Mapping[str, str]
    hkl: NDArray[np.int32]
    column: Callable[[str], NDArray[np.float32]]
    cell_of: Callable[[str], tuple[float, ...]]
    spacegroup: gemmi.SpaceGroup | None


def read_mtz(
    path: Path, name: str, resolution: float | None = None, f_label: str | None = None, phi_label: str | None = None
) -> DensityMap:
    """Read an MTZ file, not compressed; parameters and errors as of `map_from_reflections`."""
    try:
        _check_mtz_header(path, name)
        mtz = gemmi.read_mtz_file(str(path))
        table = Reflections(
            types={column.label: column.type for column in mtz.columns},
            hkl=mtz.make_miller_array(),
            column=lambda label: np.array(mtz.column_with_label(label), dtype=np.float32),
            cell_of=lambda label: mtz.get_cell(mtz.column_with_label(label).dataset_id).parameters,
            spacegroup=mtz.spacegroup,
        )
        return map_from_reflections(table, name, "MTZ", resolution, f_label, phi_label)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise MapFormatError(f"{name} is a damaged MTZ file: {_reason(error, path, name)}.") from error


def _check_mtz_header(path: Path, name: str) -> None:
    """Compare the numbers of columns, reflections and batches with the size of the file: gemmi believes them."""
    with path.open("rb") as file:
        first = file.read(80).ljust(80, b"\0")
        order = ">" if first[9] >> 4 == 1 else "<"
        (word,) = struct.unpack(order + "i", first[4:8])
        if word == -1:  # large files
            (word,) = struct.unpack(order + "q", first[12:20])
        size = path.stat().st_size
        file.seek(min(max(0, 4 * (word - 1)), size))
        text = file.read()
    records = [text[at : at + 80] for at in range(0, len(text), 80)]
    end = next((i for i, record in enumerate(records) if record[:3].upper() == b"END"), None)
    if end is None:
        raise MapFormatError(f"{name} is truncated: its headers have no end.")
    counts = [record.split()[1:4] for record in records[:end] if record[:4].upper() == b"NCOL"]
    if len(counts) != 1 or len(counts[0]) != 3 or not all(count.isdigit() for count in counts[0]):
        raise MapFormatError(f"{name} is a damaged MTZ file: it does not tell how many reflections it has.")
    n_columns, n_reflections, n_batches = map(int, counts[0])
    if 4 * n_columns * n_reflections + 80 * (n_columns + n_batches) > size:
        raise MapFormatError(f"{name} is truncated: it is too short for its {n_reflections} reflections.")


def read_sf_cif(
    path: Path, name: str, resolution: float | None = None, f_label: str | None = None, phi_label: str | None = None
) -> DensityMap:
    """Read the first block with phases of a structure-factor mmCIF, not compressed.

    Columns go by their item names without the category (pdbx_FWT, phase_meas, ...); parameters and errors
    otherwise as of `map_from_reflections`.
    """
    without_phases: PhaseError | None = None
    try:
        for block in gemmi.as_refln_blocks(gemmi.cif.read(str(path))):
            if not (block.is_merged() or block.is_unmerged()):
                continue
            try:
                return map_from_reflections(_cif_table(block), name, "mmCIF", resolution, f_label, phi_label)
            except PhaseError as error:
                without_phases = without_phases or error
    except (RuntimeError, ValueError, MemoryError) as error:
        raise MapFormatError(f"{name} is a damaged mmCIF file: {_reason(error, path, name)}.") from error
    raise without_phases or MapFormatError(f"{name} is an mmCIF file without reflections; give structure factors.")


def _cif_table(block: gemmi.ReflnBlock) -> Reflections:
    return Reflections(
        types={label: _CIF_TYPES.get(label, "?") for label in block.column_labels() if label[:6] != "index_"},
        hkl=block.make_miller_array(),
        column=lambda label: block.make_float_array(label).astype(np.float32),
        cell_of=lambda label: block.cell.parameters,
        spacegroup=block.spacegroup,
    )


def _reason(error: Exception, path: Path, name: str) -> str:
    lines = str(error).replace(str(path), name).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def find_columns(
    types: Mapping[str, str], name: str, f_label: str | None = None, phi_label: str | None = None
) -> Columns:
    """Find the columns to make a map of: those named, else map coefficients, else amplitudes with phases.

    Raises
    ------
    OptionError
        Only one of the two labels is given.
    PhaseError
        The labels do not exist, or there are no phases; the message lists the columns of the file.
    """
    present = "its columns are " + ", ".join(f"{label} ({kind})" for label, kind in types.items() if kind != "H")
    if f_label or phi_label:
        if not (f_label and phi_label):
            raise OptionError("Columns of map coefficients go in pairs: name the amplitude and the phase.")
        for label, kinds, meaning in ((f_label, "FGRE?", "amplitude"), (phi_label, "P?", "phase")):
            if types.get(label, " ") not in kinds:
                raise PhaseError(f"{name} has no {meaning} column {label}; {present}.")
        return Columns(f_label, phi_label)
    for amplitude, phase in MAP_COEFFICIENTS:
        if types.get(amplitude) == "F" and types.get(phase) == "P":
            return Columns(amplitude, phase)
    measured = next((label for label in _AMPLITUDES if types.get(label) == "F"), None)
    for phase, weight in _PHASES:
        if measured and types.get(phase) == "P":
            return Columns(measured, phase, weight if types.get(weight) == "W" else None)
    raise PhaseError(
        f"{name} has neither map coefficients (such as FWT and PHWT) nor amplitudes with phases; {present}."
    )


def map_from_reflections(
    table: Reflections,
    name: str,
    file_format: str,
    resolution: float | None = None,
    f_label: str | None = None,
    phi_label: str | None = None,
) -> DensityMap:
    """Calculate the map of the whole cell.

    Parameters
    ----------
    table
        The reflections.
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
        The file does not tell its space group.
    MapContentError
        Cell, indices or the resulting map make no sense.
    ResolutionError
        No reflections are left.
    """
    columns = find_columns(table.types, name, f_label, phi_label)
    cell = check_cell(table.cell_of(columns.amplitude), name)
    if table.spacegroup is None:
        raise MapFormatError(f"{name} does not tell its space group.")
    check_symmetry(cell, table.spacegroup, name)
    hkl, coefficients = _coefficients(table, columns)
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
    data = gemmi.ComplexAsuData(cell, table.spacegroup, hkl, coefficients)
    least = [MIN_SAMPLING] * 3
    n_points = np.prod([float(n) for n in data.get_size_for_hkl(least, _SAMPLE_RATE)])
    if n_points > max(_SMALL_GRID, 500 * len(table.spacegroup.operations()) * len(hkl)):
        raise MapContentError(f"{name} has only {len(hkl)} reflections to {d.min():.2f} Å: these make no map.")
    values = data.transform_f_phi_to_map(least, _SAMPLE_RATE).array
    check_values(values, name)
    density = DensityMap(values, MapGrid(cell, table.spacegroup, values.shape), d_min=resolution or float(d.min()))
    return described(density, name, file_format, columns=columns.labels, reflections=len(hkl))


def _coefficients(table: Reflections, columns: Columns) -> tuple[NDArray[np.int32], NDArray[np.complex64]]:
    """Return Miller indices (n, 3) and complex map coefficients (n,) of the reflections that have values."""
    amplitude = table.column(columns.amplitude)
    phase = np.radians(table.column(columns.phase))
    if columns.weight:
        amplitude = amplitude * table.column(columns.weight)
    known = np.isfinite(amplitude) & np.isfinite(phase)
    coefficients = amplitude[known] * np.exp(1j * phase[known])
    return np.ascontiguousarray(table.hkl[known]), coefficients.astype(np.complex64)
