"""Reflection files: a real crystal's, and files made of its columns under other names."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.errors import MapContentError, MapFormatError, OptionError, PhaseError, ResolutionError
from edseg_engine.io.columns import MAP_COEFFICIENTS
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from mtz_files import write_mtz
from places import CRYSTAL

BOX = ((1.0, 2.0, 3.0), None, (25, 25, 25), 0.9)


@pytest.fixture(scope="module")
def crystal() -> DensityMap:
    return read_map(CRYSTAL / "data.mtz.gz")


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    """F, FWT, PHWT, ... of the real crystal."""
    mtz = gemmi.read_mtz_file(str(CRYSTAL / "data.mtz.gz"))
    return {column.label: np.array(column) for column in mtz.columns}


def correlation(a: DensityMap, b: DensityMap) -> float:
    return float(np.corrcoef(a.sample(*BOX).ravel(), b.sample(*BOX).ravel())[0, 1])


def test_real_map_has_density_at_the_atoms(crystal: DensityMap) -> None:
    assert crystal.d_min == pytest.approx(2.0, abs=0.01)
    assert crystal.periodic
    assert crystal.spacegroup.hm == "P 32 2 1"
    atoms = gemmi.read_structure(str(CRYSTAL / "model.cif.gz"))[0].all()
    at_atoms = [crystal.sample(cra.atom.pos.tolist(), None, (1, 1, 1), 1.0)[0, 0, 0] for cra in atoms]
    assert np.mean(at_atoms) > 2.5 * crystal.values.std()


def test_source_tells_what_was_read(crystal: DensityMap) -> None:
    assert crystal.source["file"] == "data.mtz.gz"
    assert crystal.source["columns"] == ["FWT", "PHWT"]
    assert crystal.source["spacegroup"] == "P 32 2 1"
    assert crystal.source["sampling"] == list(crystal.values.shape)
    assert crystal.source["sd"] == pytest.approx(crystal.values.std(), rel=1e-4)


def test_grid_is_fine_enough_for_cubic_interpolation(crystal: DensityMap) -> None:
    mtz = gemmi.read_mtz_file(str(CRYSTAL / "data.mtz.gz"))
    fine = mtz.transform_f_phi_to_map("FWT", "PHWT", sample_rate=8)
    assert correlation(crystal, DensityMap(fine.array, MapGrid(fine.unit_cell, fine.spacegroup, fine.shape))) > 0.998


def test_resolution_of_the_user_cuts_the_reflections(crystal: DensityMap) -> None:
    cut = read_map(CRYSTAL / "data.mtz.gz", resolution=3.0)
    assert cut.d_min == 3.0
    assert cut.values.size < crystal.values.size / 2
    assert correlation(cut, crystal.low_passed(3.0)) > 0.99
    assert correlation(cut, crystal) < 0.95


@pytest.mark.parametrize(("amplitude", "phase"), MAP_COEFFICIENTS)
def test_usual_pairs_are_found(
    amplitude: str, phase: str, tmp_path: Path, columns: dict[str, np.ndarray], crystal: DensityMap
) -> None:
    difference = np.zeros_like(columns["FWT"])
    path = write_mtz(
        tmp_path / "pair.mtz",
        columns,
        {
            "FOFCWT": ("F", difference),
            "PHFOFCWT": ("P", difference),
            "FP": ("F", columns["F"]),
            amplitude: ("F", columns["FWT"]),
            phase: ("P", columns["PHWT"]),
        },
    )
    density = read_map(path)
    assert density.source["columns"] == [amplitude, phase]
    assert correlation(density, crystal) > 0.9999


def test_amplitudes_with_phases_are_weighted(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    weight = np.linspace(0, 1, len(columns["F"]))
    path = write_mtz(
        tmp_path / "phased.mtz",
        columns,
        {"FP": ("F", columns["F"]), "PHIB": ("P", columns["PHWT"]), "FOM": ("W", weight)},
    )
    weighted = write_mtz(
        tmp_path / "weighted.mtz", columns, {"A": ("F", columns["F"] * weight), "B": ("P", columns["PHWT"])}
    )
    density = read_map(path)
    assert density.source["columns"] == ["FP", "PHIB", "FOM"]
    assert correlation(density, read_map(weighted, f_label="A", phi_label="B")) > 0.9999


def test_d_min_is_that_of_reflections_with_values(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    cell = gemmi.UnitCell(45.4, 45.4, 87.9, 90, 90, 120)
    d = cell.calculate_d_array(np.stack([columns[label] for label in "HKL"], axis=1).astype(np.int32))
    some = np.where(d < 2.7, np.nan, columns["FWT"])
    path = write_mtz(
        tmp_path / "some.mtz",
        columns,
        {"F": ("F", columns["F"]), "FWT": ("F", some), "PHWT": ("P", columns["PHWT"])},
    )
    assert read_map(path).d_min == pytest.approx(2.7, abs=0.01)


def test_named_columns_win(tmp_path: Path, columns: dict[str, np.ndarray], crystal: DensityMap) -> None:
    path = write_mtz(
        tmp_path / "named.mtz",
        columns,
        {
            "FWT": ("F", np.ones_like(columns["F"])),
            "PHWT": ("P", np.zeros_like(columns["F"])),
            "mine": ("F", columns["FWT"]),
            "my-phase": ("P", columns["PHWT"]),
        },
    )
    named = read_map(path, f_label="mine", phi_label="my-phase")
    assert named.source["columns"] == ["mine", "my-phase"]
    assert correlation(named, crystal) > 0.9999


def test_missing_phases_list_the_columns(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    path = write_mtz(tmp_path / "measured.mtz", columns, {"F": ("F", columns["F"]), "SIGF": ("Q", columns["SIGF"])})
    with pytest.raises(PhaseError, match=r"measured\.mtz .*F \(F\), SIGF \(Q\)"):
        read_map(path)


@pytest.mark.parametrize(("f_label", "phi_label"), [("FWT", "nothing"), ("nothing", "PHWT"), ("PHWT", "FWT")])
def test_wrong_names_list_the_columns(f_label: str, phi_label: str) -> None:
    with pytest.raises(PhaseError, match=r"FWT \(F\), PHWT \(P\)"):
        read_map(CRYSTAL / "data.mtz.gz", f_label=f_label, phi_label=phi_label)


def test_one_name_is_not_enough() -> None:
    with pytest.raises(OptionError, match="amplitude and the phase"):
        read_map(CRYSTAL / "data.mtz.gz", f_label="FWT")


def test_columns_without_values(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    nothing = np.full_like(columns["F"], np.nan)
    path = write_mtz(tmp_path / "nan.mtz", columns, {"FWT": ("F", nothing), "PHWT": ("P", columns["PHWT"])})
    with pytest.raises(PhaseError, match="no values"):
        read_map(path)


def test_a_resolution_finer_than_the_data_does_not_count(crystal: DensityMap) -> None:
    density = read_map(CRYSTAL / "data.mtz.gz", resolution=1.2)
    assert density.d_min == crystal.d_min
    assert "which counts in place of the 1.2 Å given" in density.warnings[0]
    assert not read_map(CRYSTAL / "data.mtz.gz", resolution=round(float(crystal.d_min or 0), 1)).warnings


def test_resolution_beyond_all_reflections() -> None:
    with pytest.raises(ResolutionError, match="no reflections to 500 Å"):
        read_map(CRYSTAL / "data.mtz.gz", resolution=500.0)


def test_stray_index_does_not_ask_for_a_huge_grid(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    strayed = dict(columns, L=columns["L"].copy())
    strayed["L"][10] = 217  # 0.4 Å: 400 million points for 7500 reflections
    strayed["H"] = columns["H"].copy()
    strayed["H"][11] = 95
    path = write_mtz(tmp_path / "stray.mtz", strayed, {"FWT": ("F", columns["FWT"]), "PHWT": ("P", columns["PHWT"])})
    with pytest.raises(MapContentError, match=r"stray\.mtz has only 7513 reflections"):
        read_map(path)


def test_mtz_without_reflections(columns: dict[str, np.ndarray], tmp_path: Path) -> None:
    nothing = {label: values[:0] for label, values in columns.items()}
    path = write_mtz(tmp_path / "none.mtz", nothing, {"FWT": ("F", nothing["F"]), "PHWT": ("P", nothing["PHWT"])})
    with pytest.raises(MapFormatError, match=r"none\.mtz has no reflections"):
        read_map(path)


def test_truncated_mtz(tmp_path: Path) -> None:
    whole = gzip.decompress((CRYSTAL / "data.mtz.gz").read_bytes())
    path = tmp_path / "cut.mtz"
    for length in (10, 80, 100_000, len(whole) - 1000):
        path.write_bytes(whole[:length])
        with pytest.raises(MapFormatError, match=r"cut\.mtz"):
            read_map(path)


# --- mmCIF ------------------------------------------------------------------------------------------------------


#: The beginning of a structure-factor block, up to the tags of its columns.
P1_HEAD = (
    "data_x\n_cell.length_a 10\n_cell.length_b 10\n_cell.length_c 10\n"
    "_cell.angle_alpha 90\n_cell.angle_beta 90\n_cell.angle_gamma 90\n"
    "_symmetry.space_group_name_H-M 'P 1'\nloop_\n"
)


def write_cif(path: Path, items: tuple[str, ...], columns: Mapping[str, np.ndarray], block: str = "r1az5sf") -> str:
    """Return (and write) a structure-factor block with `items` filled by the columns of the real crystal."""
    source = {
        "F_meas_au": "F", "F_meas_sigma_au": "SIGF", "pdbx_FWT": "FWT", "pdbx_PHWT": "PHWT", "phase_meas": "PHWT",
        "phase_calc": "PHWT",
    }  # fmt: skip
    text = f"data_{block}\n_cell.length_a 45.4\n_cell.length_b 45.4\n_cell.length_c 87.9\n"
    text += "_cell.angle_alpha 90\n_cell.angle_beta 90\n_cell.angle_gamma 120\n"
    text += "_symmetry.space_group_name_H-M 'P 32 2 1'\nloop_\n"
    text += "".join(f"_refln.{item}\n" for item in ("index_h", "index_k", "index_l", *items))
    hkl = [columns[label].astype(int) for label in "HKL"]
    for row in zip(*hkl, *(columns[source[item]] for item in items), strict=True):
        text += " ".join("?" if np.isnan(x) else f"{x:g}" for x in row) + "\n"
    path.write_text(text)
    return text


@pytest.mark.parametrize("zipped", [False, True])
def test_cif_with_map_coefficients(
    zipped: bool, tmp_path: Path, columns: dict[str, np.ndarray], crystal: DensityMap
) -> None:
    path = tmp_path / "1az5-sf.cif"
    write_cif(path, ("F_meas_au", "pdbx_FWT", "pdbx_PHWT"), columns)
    if zipped:
        with path.open("rb") as plain, gzip.open(tmp_path / "1az5-sf.cif.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        path = tmp_path / "1az5-sf.cif.gz"
    density = read_map(path)
    assert density.source["columns"] == ["pdbx_FWT", "pdbx_PHWT"]
    assert density.d_min == pytest.approx(crystal.d_min)
    assert correlation(density, crystal) > 0.9999


def test_cif_with_phases_in_its_second_block(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    path = tmp_path / "two.cif"
    first = write_cif(path, ("F_meas_au", "F_meas_sigma_au"), columns)
    second = write_cif(path, ("F_meas_au", "phase_meas"), columns, "r1az5Asf")
    path.write_text(first + second)
    assert read_map(path).source["columns"] == ["F_meas_au", "phase_meas"]


def test_cif_without_phases_lists_its_columns(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    path = tmp_path / "measured.cif"
    write_cif(path, ("F_meas_au", "F_meas_sigma_au"), columns)
    with pytest.raises(PhaseError, match=r"F_meas_au \(F\), F_meas_sigma_au"):
        read_map(path)


def test_cif_of_unmerged_intensities(tmp_path: Path) -> None:
    path = tmp_path / "unmerged.cif"
    path.write_text(
        P1_HEAD + "_diffrn_refln.index_h\n_diffrn_refln.index_k\n"
        "_diffrn_refln.index_l\n_diffrn_refln.intensity_net\n1 0 0 5.0\n1 0 0 6.0\n0 1 0 4.0\n"
    )
    with pytest.raises(PhaseError, match="intensity_net"):
        read_map(path)


def test_cif_of_a_model_is_no_map() -> None:
    with pytest.raises(MapFormatError, match=r"model\.cif\.gz is an mmCIF file without reflections"):
        read_map(CRYSTAL / "model.cif.gz")


def test_damaged_cif(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    path = tmp_path / "cut.cif"
    text = write_cif(path, ("pdbx_FWT", "pdbx_PHWT"), columns)
    path.write_text(text[: len(text) // 2].rstrip().rsplit(" ", 1)[0])
    with pytest.raises(MapFormatError, match=r"cut\.cif is a damaged mmCIF file"):
        read_map(path)


def test_a_column_of_a_damaged_cif_without_a_name(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    path = tmp_path / "cut.cif"
    text = write_cif(path, ("pdbx_FWT", "pdbx_PHWT"), columns)
    path.write_text(text.replace("_refln.pdbx_PHWT", "_r"))
    for read in (read_map, read_amplitudes):
        with pytest.raises(MapFormatError, match=r"cut\.cif is a damaged mmCIF file: a column of its reflections"):
            read(path)


def test_a_status_of_another_case_is_found(tmp_path: Path) -> None:
    path = tmp_path / "sf.cif"
    path.write_text(
        P1_HEAD + "_REFLN.index_h\n_REFLN.index_k\n_REFLN.index_l\n"
        "_REFLN.F_meas_au\n_REFLN.F_meas_sigma_au\n_REFLN.status\n1 0 0 5.0 1 o\n2 0 0 6.0 1 f\n0 1 0 4.0 1 o\n"
    )
    amplitudes = read_amplitudes(path)
    assert amplitudes is not None
    assert amplitudes.free is not None
    assert amplitudes.free.tolist() == [False, True, False]
