"""Reflection tables from MTZ and structure-factor mmCIF, and the measured amplitudes that refinement needs."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.phasing import reciprocal_lengths
from edseg_engine.errors import MapFormatError
from edseg_engine.io.columns import find_free, find_hl, find_measured
from edseg_engine.io.files import File, most_bytes, on_disk, opened, read_text
from edseg_engine.io.names import shown
from edseg_engine.io.validation import check_cell, check_symmetry
from edseg_engine.memory import require_memory

#: MTZ column types of mmCIF items (F amplitude, J intensity, Q sigma, P phase, W weight, A Hendrickson-Lattman, I).
_CIF_TYPES = {
    **dict.fromkeys(("F_meas_au", "F_meas", "F_calc_au", "F_calc", "pdbx_FWT", "pdbx_DELFWT"), "F"),
    **dict.fromkeys(("F_meas_sigma_au", "F_meas_sigma", "intensity_sigma"), "Q"),
    **dict.fromkeys(("phase_meas", "phase_calc", "pdbx_PHWT", "pdbx_DELPHWT"), "P"),
    **dict.fromkeys((f"pdbx_HL_{letter}_iso" for letter in "ABCD"), "A"),
    **dict.fromkeys(("status", "pdbx_r_free_flag"), "I"),
    "intensity_meas": "J",
    "fom": "W",
}
_CIF_START = re.compile(rb"(\s|#[^\n]*\n)*data_", re.IGNORECASE)
_LARGEST_MTZ = 1 << 30
_LARGEST_MTZ_HEADERS = 1 << 26
_LARGEST_CIF = 1 << 29


@dataclass(frozen=True)
class ReflectionTable:
    """The columns of a reflection file.

    Attributes
    ----------
    types
        MTZ column type of each label ("F" amplitude, "P" phase, "W" weight, ...; "?" unknown), in the file's order.
    hkl
        Miller indices, shape (n, 3).
    column
        Gives the values (n,) of a label; NaN where they are missing.
    cell_of
        Gives a, b, c (Å), alpha, beta, gamma (degrees) that belong to a label.
    """

    types: Mapping[str, str]
    hkl: NDArray[np.int32]
    column: Callable[[str], NDArray[np.float32]]
    cell_of: Callable[[str], tuple[float, ...]]
    spacegroup: gemmi.SpaceGroup | None


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """What was measured of a crystal, as the file holds it.

    Attributes
    ----------
    miller
        int32, shape (n, 3): Miller indices of the reflections that have a value.
    f, sigf
        float32, shape (n,): amplitudes, or intensities if `intensities`, and their standard uncertainties, NaN where
        one is missing; None if the file has none.
    free
        bool, shape (n,): the test set, None if the file has none.
    hl
        float32, shape (n, 4): Hendrickson-Lattman coefficients A, B, C, D, NaN where they are missing; None if the
        file has none.
    cell, spacegroup
        Unit cell (Å, degrees) and space group.
    labels
        Columns that were read: of `f`, of `sigf`, of the flags and of `hl`.
    intensities
        Whether `f` and `sigf` are intensities, because the file has no amplitudes.
    """

    miller: NDArray[np.int32]
    f: NDArray[np.float32]
    sigf: NDArray[np.float32] | None
    free: NDArray[np.bool_] | None
    hl: NDArray[np.float32] | None
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    labels: tuple[str, ...]
    intensities: bool = False

    def in_asymmetric_unit(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return indices (n, 3) in the asymmetric unit and amplitudes (n,), also where intensities were measured."""
        f = np.sqrt(np.maximum(self.f, 0)) if self.intensities else self.f
        data = gemmi.FloatAsuData(self.cell, self.spacegroup, self.miller, f.astype(np.float32))
        data.ensure_asu()
        return data.miller_array, data.value_array

    def cut(self, d_min: float) -> Amplitudes:
        """Return what is not finer than `d_min` Å."""
        kept = reciprocal_lengths(self.cell, self.spacegroup, self.miller) <= (1 + 1e-6) / d_min**2
        return replace(
            self,
            miller=self.miller[kept],
            f=self.f[kept],
            sigf=None if self.sigf is None else self.sigf[kept],
            free=None if self.free is None else self.free[kept],
            hl=None if self.hl is None else self.hl[kept],
        )


def read_amplitudes(path: Path | str) -> Amplitudes | None:
    """Read the measured amplitudes of a reflection file, or None if it has none or is a map.

    Intensities are read in their place where a file has only these. The first mmCIF block with either is taken.

    Parameters
    ----------
    path
        MTZ or structure-factor mmCIF file, also compressed with gzip.

    Raises
    ------
    MapFormatError
        There is no such file, it is damaged, or it does not say its space group.
    MapContentError
        The cell makes no sense.
    DeviceError
        There is not enough memory.
    """
    path = Path(path)
    name = shown(path.name)
    with opened(path) as file:
        head = file.read(4096)
        tables = read_tables(file, name, head) or []
    kinds = [(table, kind) for kind in "FJ" for table in tables if find_measured(table.types, kind)]
    return _amplitudes(*kinds[0], name) if kinds else None


def _amplitudes(table: ReflectionTable, kind: str, name: str) -> Amplitudes:
    measured = find_measured(table.types, kind)
    assert measured
    label, sigma = measured
    cell = check_cell(table.cell_of(label), name)
    spacegroup = known_spacegroup(table, cell, name)
    values = table.column(label)
    known = np.isfinite(values)
    flags, hl = find_free(table.types), find_hl(table.types)
    free = _test_set(table.column(flags)) if flags else None
    return Amplitudes(
        miller=table.hkl[known],
        f=values[known],
        sigf=table.column(sigma)[known] if sigma else None,
        free=None if free is None else free[known],
        hl=np.stack([table.column(letter) for letter in hl], axis=1)[known] if hl else None,
        cell=cell,
        spacegroup=spacegroup,
        labels=(label, *filter(None, (sigma, flags)), *hl),
        intensities=kind == "J",
    )


def _test_set(flags: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Return which reflections are in the test set: the lowest flag of many (CCP4), or the rarer of two (Phenix)."""
    kinds, counts = np.unique(flags[np.isfinite(flags)], return_counts=True)
    if len(kinds) < 2:
        return None
    free = kinds[np.argmin(counts)] if len(kinds) == 2 else kinds[0]
    return np.asarray(flags == free)


def known_spacegroup(table: ReflectionTable, cell: gemmi.UnitCell, name: str) -> gemmi.SpaceGroup:
    """Return the space group of a table.

    Raises
    ------
    MapFormatError
        The file does not say it.
    MapContentError
        The cell does not fit it.
    """
    if table.spacegroup is None:
        raise MapFormatError(f"{name} does not give its space group.")
    check_symmetry(cell, table.spacegroup, name)
    return table.spacegroup


def read_tables(file: File, name: str, head: bytes) -> list[ReflectionTable] | None:
    """Read the tables of an opened MTZ or mmCIF file, or return None if `head`, its beginning, says that it is neither.

    Raises
    ------
    MapFormatError
        The file is damaged, or an mmCIF file without reflections.
    DeviceError
        There is not enough memory.
    """
    if head[:4] == b"MTZ ":
        return [_read_mtz(file, name)]
    if _CIF_START.match(head):
        return _read_sf_cif(file, name)
    return None


def _read_mtz(file: File, name: str) -> ReflectionTable:
    size = _check_mtz_header(file, name)
    with on_disk(file, size) as path:
        try:
            mtz = gemmi.read_mtz_file(str(path))
            return ReflectionTable(
                types={column.label: column.type for column in mtz.columns},
                hkl=mtz.make_miller_array(),
                column=lambda label: np.array(mtz.column_with_label(label), dtype=np.float32),
                cell_of=lambda label: mtz.get_cell(mtz.column_with_label(label).dataset_id).parameters,
                spacegroup=mtz.spacegroup,
            )
        except (RuntimeError, ValueError) as error:
            raise MapFormatError(f"{name} is a damaged MTZ file: {reason(error, path, name)}.") from error


def _check_mtz_header(file: File, name: str) -> int:
    """Compare the numbers of columns, reflections and batches with the size of the file, which gemmi does not, and
    return the number of bytes that belong to it."""
    file.seek(0)
    first = file.read(80).ljust(80, b"\0")
    order = ">" if first[9] >> 4 == 1 else "<"
    (word,) = struct.unpack(order + "i", first[4:8])
    if word == -1:  # large files
        (word,) = struct.unpack(order + "q", first[12:20])
    data_end = 4 * (word - 1)
    if data_end > _LARGEST_MTZ:
        raise MapFormatError(f"{name} has {data_end / 1e9:.3g} GB of reflections; give merged ones.")
    if not 0 < data_end <= most_bytes(file):
        raise MapFormatError(f"{name} is truncated: its headers are missing.")
    require_memory(2 * data_end, f"Reading {name}")
    file.seek(data_end)
    text = file.read(_LARGEST_MTZ_HEADERS)
    records = [text[at : at + 80] for at in range(0, len(text), 80)]
    end = next((i for i, record in enumerate(records) if record[:3].upper() == b"END"), None)
    if end is None:
        raise MapFormatError(f"{name} is truncated: its headers have no end.")
    counts = [record.split()[1:4] for record in records[:end] if record[:4].upper() == b"NCOL"]
    if len(counts) != 1 or len(counts[0]) != 3 or not all(count.isdigit() for count in counts[0]):
        raise MapFormatError(f"{name} is a damaged MTZ file: it does not say how many reflections it has.")
    n_columns, n_reflections, n_batches = map(int, counts[0])
    if n_reflections == 0:
        raise MapFormatError(f"{name} has no reflections.")
    size = data_end + len(text)
    if 4 * n_columns * n_reflections > data_end or 80 * (n_columns + n_batches) > len(text):
        raise MapFormatError(f"{name} is truncated: it is too short for its {n_reflections} reflections.")
    return size


def _read_sf_cif(file: File, name: str) -> list[ReflectionTable]:
    text = read_text(file, _LARGEST_CIF, name)
    try:
        blocks = gemmi.as_refln_blocks(gemmi.cif.read_string(text))
        tables = [_cif_table(block) for block in blocks if block.is_merged() or block.is_unmerged()]
    except IndexError as error:  # gemmi takes off the category, whether it is there or not
        raise MapFormatError(f"{name} is a damaged mmCIF file: a column of its reflections has no name.") from error
    except (RuntimeError, ValueError) as error:
        raise MapFormatError(f"{name} is a damaged mmCIF file: {reason(error, 'string', name)}.") from error
    if not tables:
        raise MapFormatError(f"{name} is an mmCIF file without reflections; give structure factors.")
    return tables


def _cif_table(block: gemmi.ReflnBlock) -> ReflectionTable:
    labels = block.column_labels()

    def column(label: str) -> NDArray[np.float32]:
        if label == "status":
            values = block.default_loop.values[labels.index(label) :: block.default_loop.width()]
            return np.array([gemmi.cif.as_string(value) == "f" for value in values], np.float32)
        with np.errstate(over="ignore"):  # infinite is as little a value as 1e99
            return np.asarray(block.make_float_array(label), np.float32)

    return ReflectionTable(
        types={label: _CIF_TYPES.get(label, "?") for label in labels if label[:6] != "index_"},
        hkl=block.make_miller_array(),
        column=column,
        cell_of=lambda label: block.cell.parameters,
        spacegroup=block.spacegroup,
    )


def reason(error: Exception, path: Path | str, name: str) -> str:
    """Return the first line of a library's message, with the name of the file in place of a temporary path."""
    lines = str(error).replace(str(path), name).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
