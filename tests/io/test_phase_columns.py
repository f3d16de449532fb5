"""Columns of phases as phasing and density modification programs name them, and maps made of measured amplitudes."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import i0, i1

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import PhaseError
from edseg_engine.io.columns import find_columns
from edseg_engine.io.map_coefficients import centroids
from edseg_engine.io.read import read_map
from mtz_files import write_mtz
from places import MTZ

SPACEGROUP = gemmi.SpaceGroup("P 32 2 1")
Table = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def columns() -> Table:
    mtz = gemmi.read_mtz_file(str(MTZ))
    mtz = mtz.filtered(mtz.make_d_array() > 4)
    return {column.label: np.array(column) for column in mtz.columns}


def correlation(a: DensityMap, b: DensityMap) -> float:
    return float(np.corrcoef(a.values.ravel(), b.values.ravel())[0, 1])


def miller(columns: Table) -> NDArray[np.int32]:
    return np.stack([columns[label] for label in "HKL"], axis=1).astype(np.int32)


@pytest.mark.parametrize(
    ("amplitude", "phase"),
    [
        ("2FOFCWT_sharp", "PH2FOFCWT_sharp"),
        ("FWT_filled", "PHWT_filled"),
        ("second.F_phi.F", "second.F_phi.phi"),
        ("second.parrot.F_phi.F", "second.parrot.F_phi.phi"),
    ],
)
def test_labels_with_additions(amplitude: str, phase: str) -> None:
    types = {"H": "H", "FP": "F", "SIGFP": "Q", "DELFWT": "F", "PHDELWT": "P", amplitude: "F", phase: "P"}
    assert find_columns(types, "some.mtz").labels == [amplitude, phase]


def test_density_modified_coefficients_come_before_those_of_the_phasing() -> None:
    types = {"FWT": "F", "PHWT": "P", "parrot.F_phi.F": "F", "parrot.F_phi.phi": "P"}
    assert find_columns(types, "some.mtz").labels == ["parrot.F_phi.F", "parrot.F_phi.phi"]


def test_plain_labels_come_before_those_with_additions() -> None:
    types = {"2FOFCWT_sharp": "F", "PH2FOFCWT_sharp": "P", "2FOFCWT": "F", "PH2FOFCWT": "P"}
    assert find_columns(types, "some.mtz").labels == ["2FOFCWT", "PH2FOFCWT"]


def test_unusual_amplitudes_are_known_by_their_sigmas() -> None:
    types = {"DANO": "D", "F_New": "F", "SIGF_New": "Q", "PHIB": "P", "FOM": "W"}
    assert find_columns(types, "some.mtz").labels == ["F_New", "PHIB", "FOM"]


@pytest.mark.parametrize(
    ("types", "advice"),
    [
        ({"mine_F": "F", "mine_P": "P"}, "Name those of a map with --f and --phi."),
        ({"FP": "F", "SIGFP": "Q"}, "calculate phases first."),
        ({"FreeR_flag": "I"}, "Give a file that holds a map."),
    ],
)
def test_without_a_map_it_is_said_what_to_do(types: dict[str, str], advice: str) -> None:
    with pytest.raises(PhaseError, match=advice):
        find_columns(types, "some.mtz")


def test_phases_without_weights_are_told(columns: Table, tmp_path: Path) -> None:
    found = {"FP": ("F", columns["F"]), "PHIB": ("P", columns["PHWT"])}
    (warning,) = read_map(write_mtz(tmp_path / "bare.mtz", columns, found)).warnings
    assert "Fo from FP with the phases PHIB" in warning
    assert "no figures of merit" in warning


def peaked(columns: Table, strength: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coefficients (n, 4) of distributions around the phases of the map, the sharper the larger `strength`."""
    phase = np.radians(columns["PHWT"])
    zero = np.zeros_like(phase)
    return np.stack([strength * np.cos(phase), strength * np.sin(phase), zero, zero], axis=1).astype(np.float32)


def test_centroids_are_those_of_the_distributions(columns: Table) -> None:
    hkl = miller(columns)
    strength = np.linspace(0.0, 60.0, len(hkl))
    found = centroids(hkl, peaked(columns, strength), SPACEGROUP)
    centric = SPACEGROUP.operations().centric_flag_array(hkl)
    assert 10 < centric.sum() < len(hkl) / 2
    # A von Mises distribution on the circle; two phases for a centric reflection.
    figure_of_merit = np.where(centric, np.tanh(strength), i1(strength) / i0(strength))
    np.testing.assert_allclose(found, figure_of_merit * np.exp(1j * np.radians(columns["PHWT"])), atol=2e-3)


def test_second_harmonics_leave_an_ambiguity() -> None:
    hkl = np.array([[1, 2, 3]] * 2, np.int32)
    hl = np.array([[0, 0, 50, 0], [3, 0, 50, 0]], np.float32)
    twofold, decided = centroids(hkl, hl, SPACEGROUP)
    assert abs(twofold) < 1e-6
    assert decided.real > 0.98


def test_amplitudes_with_phase_distributions_make_a_weighted_map(columns: Table, tmp_path: Path) -> None:
    strength = np.linspace(0.0, 10.0, len(columns["F"]))
    hl = peaked(columns, strength)
    hl[::50] = np.nan
    path = write_mtz(
        tmp_path / "hl.mtz",
        columns,
        {"FP": ("F", columns["F"]), "SIGFP": ("Q", columns["SIGF"])}
        | {f"HL{letter}": ("A", values) for letter, values in zip("ABCD", hl.T, strict=True)},
    )
    density = read_map(path)
    assert density.source["columns"] == ["FP", "HLA", "HLB", "HLC", "HLD"]
    assert density.source["coefficients"] == "m·Fo from FP with the centroid phases of HLA, HLB, HLC, HLD"
    assert len(density.warnings) == 1
    assert "m·Fo" in density.warnings[0]

    centroid = centroids(miller(columns), hl, SPACEGROUP)
    known = np.isfinite(centroid)
    weighted = {label: values[known] for label, values in columns.items()}
    expected = write_mtz(
        tmp_path / "expected.mtz",
        weighted,
        {
            "FWT": ("F", weighted["F"] * np.abs(centroid[known])),
            "PHWT": ("P", np.degrees(np.angle(centroid[known]))),
        },
    )
    assert correlation(density, read_map(expected)) > 0.9999


def test_figures_of_merit_are_recognised(columns: Table, tmp_path: Path) -> None:
    fom = np.linspace(0, 1, len(columns["F"]))
    path = write_mtz(
        tmp_path / "fom.mtz",
        columns,
        {"FP": ("F", columns["F"]), "PHIB": ("P", columns["PHWT"]), "FOM": ("W", fom)},
    )
    density = read_map(path)
    assert density.source["coefficients"] == "m·Fo from FP with the phases PHIB and the figures of merit FOM"
    assert "m·Fo" in density.warnings[0]
    assert not read_map(MTZ, resolution=4.0).warnings
