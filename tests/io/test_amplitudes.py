"""Measured amplitudes, test sets and phase distributions, as refinement needs them."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from ccp4_files import write_ccp4
from edseg_engine.errors import MapFormatError
from edseg_engine.io.reflections import read_amplitudes
from mtz_files import write_mtz
from places import MTZ

Table = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def columns() -> Table:
    mtz = gemmi.read_mtz_file(str(MTZ))
    mtz = mtz.filtered(mtz.make_d_array() > 4)
    return {column.label: np.array(column) for column in mtz.columns}


def test_real_crystal() -> None:
    mtz = gemmi.read_mtz_file(str(MTZ))
    amplitudes = read_amplitudes(MTZ)
    assert amplitudes is not None
    assert amplitudes.labels[:2] == ("F", "SIGF")
    measured = np.isfinite(np.array(mtz.column_with_label("F")))
    np.testing.assert_array_equal(amplitudes.miller, mtz.make_miller_array()[measured])
    np.testing.assert_array_equal(amplitudes.f, np.array(mtz.column_with_label("F"))[measured])
    assert amplitudes.sigf is not None
    assert amplitudes.sigf.shape == amplitudes.f.shape
    assert amplitudes.hl is None
    assert amplitudes.spacegroup.hm == "P 32 2 1"
    assert amplitudes.cell.parameters == pytest.approx(mtz.cell.parameters)
    assert not amplitudes.intensities


@pytest.mark.parametrize(
    ("flags", "free"),
    [
        (lambda n: np.arange(n) % 20, lambda n: np.arange(n) % 20 == 0),  # CCP4
        (lambda n: np.arange(n) % 20 + 1, lambda n: np.arange(n) % 20 == 0),
        (lambda n: (np.arange(n) % 10 == 0).astype(int), lambda n: np.arange(n) % 10 == 0),  # Phenix
        (lambda n: (np.arange(n) % 10 != 0).astype(int), lambda n: np.arange(n) % 10 == 0),
    ],
)
def test_test_sets_of_either_convention(flags, free, columns: Table, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    n = len(columns["F"])
    path = write_mtz(
        tmp_path / "free.mtz",
        columns,
        {"FP": ("F", columns["F"]), "SIGFP": ("Q", columns["SIGF"]), "FreeR_flag": ("I", flags(n))},
    )
    amplitudes = read_amplitudes(path)
    assert amplitudes is not None
    assert amplitudes.free is not None
    np.testing.assert_array_equal(amplitudes.free, free(n)[np.isfinite(columns["F"])])


def test_flags_without_a_test_set(columns: Table, tmp_path: Path) -> None:
    n = len(columns["F"])
    path = write_mtz(tmp_path / "none.mtz", columns, {"F": ("F", columns["F"]), "FREE": ("I", np.zeros(n))})
    amplitudes = read_amplitudes(path)
    assert amplitudes is not None
    assert amplitudes.free is None
    assert amplitudes.sigf is None


def test_intensities_and_phase_distributions(columns: Table, tmp_path: Path) -> None:
    f = np.where(np.arange(len(columns["F"])) % 7 == 0, np.nan, columns["F"])
    hl = {f"HL{letter}": ("A", np.full_like(f, i)) for i, letter in enumerate("ABCD")}
    path = write_mtz(
        tmp_path / "i.mtz",
        columns,
        {"FWT": ("F", columns["FWT"]), "IMEAN": ("J", f**2), "SIGIMEAN": ("Q", columns["SIGF"])} | hl,
    )
    amplitudes = read_amplitudes(path)
    assert amplitudes is not None
    assert amplitudes.intensities
    assert amplitudes.labels == ("IMEAN", "SIGIMEAN", "HLA", "HLB", "HLC", "HLD")
    np.testing.assert_allclose(amplitudes.f, f[np.isfinite(f)] ** 2, rtol=1e-6)
    assert amplitudes.hl is not None
    np.testing.assert_array_equal(amplitudes.hl, np.tile(np.arange(4, dtype=np.float32), (len(amplitudes.f), 1)))


def test_cif_with_status_flags(columns: Table, tmp_path: Path) -> None:
    n = len(columns["F"])
    status = np.where(np.arange(n) % 12 == 0, "f", "o")
    table = [columns[label] for label in ("H", "K", "L", "F", "SIGF")]
    rows = "\n".join(
        " ".join(f"{value:.3f}".replace("nan", "?").removesuffix(".000") for value in row) + f" {flag}"
        for *row, flag in zip(*table, status, strict=True)
    )
    path = tmp_path / "sf.cif"
    path.write_text(
        "data_r1az5sf\n_cell.length_a 45.4\n_cell.length_b 45.4\n_cell.length_c 87.9\n_cell.angle_alpha 90\n"
        "_cell.angle_beta 90\n_cell.angle_gamma 120\n_symmetry.space_group_name_H-M 'P 32 2 1'\nloop_\n"
        "_refln.index_h\n_refln.index_k\n_refln.index_l\n_refln.F_meas_au\n_refln.F_meas_sigma_au\n_refln.status\n"
        + rows
        + "\n"
    )
    amplitudes = read_amplitudes(path)
    assert amplitudes is not None
    assert amplitudes.labels == ("F_meas_au", "F_meas_sigma_au", "status")
    known = np.isfinite(columns["F"])
    np.testing.assert_allclose(amplitudes.f, columns["F"][known], atol=1e-3)
    np.testing.assert_array_equal(amplitudes.free, (status == "f")[known])


def test_files_without_amplitudes(columns: Table, tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "map.mtz", columns, {"FWT": ("F", columns["FWT"]), "PHWT": ("P", columns["PHWT"])})
    assert read_amplitudes(path) is None
    values = np.random.default_rng(0).normal(size=(8, 8, 8))
    write_ccp4(tmp_path / "m.map", values, gemmi.UnitCell(8, 8, 8, 90, 90, 90), (8, 8, 8))
    assert read_amplitudes(tmp_path / "m.map") is None
    with pytest.raises(MapFormatError, match="does not exist"):
        read_amplitudes(tmp_path / "missing.mtz")
