"""Windows are balanced as well as can be, and turned without a mirror image."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.dataset.augmentation import (
    MOST_OCCURRENCES,
    chi_square_distance,
    occurrences,
    orientations_of,
    selected,
    turned,
)
from edseg_engine.dataset.labelled import KnownMap, Window
from edseg_engine.errors import OutputError, TrainingDataError
from edseg_engine.labels import BACKGROUND, POINTS
from edseg_engine.residues.known import KnownResidues
from places import MODEL
from tools import augmentation

SPACING = 1.0


def test_distance_of_known_distributions() -> None:
    assert chi_square_distance(np.full(20, 7.0)) == 0
    # H = 3/4 and 1/4, U = 1/2: (1/4)² / (3/4) + (1/4)² / (1/4)
    assert chi_square_distance(np.array([30.0, 10.0])) == pytest.approx(1 / 12 + 1 / 4)
    assert np.isinf(chi_square_distance(np.array([3.0, 0.0])))
    several = np.array([[[1.0, 1.0], [3.0, 1.0]]])
    np.testing.assert_allclose(chi_square_distance(several), [[0, 1 / 3]])


def test_the_search_finds_what_trying_everything_finds() -> None:
    counts = np.random.default_rng(5).integers(0, 9, (5, 4))
    every = np.array(list(itertools.product(range(1, 5), repeat=5)))
    best = chi_square_distance((every @ counts).astype(float)).min()
    found = occurrences(counts, np.random.default_rng(0), most=4, width=10_000)
    assert chi_square_distance((found @ counts).astype(float)) == pytest.approx(best)
    narrow = occurrences(counts, np.random.default_rng(0), most=4)
    assert chi_square_distance((narrow @ counts).astype(float)) <= 1.05 * best


@pytest.fixture(scope="module")
def counts() -> NDArray[np.intp]:
    """Residues of 20 types, as uneven as in proteins, in 400 windows."""
    rng = np.random.default_rng(2)
    shares = np.array([8, 5, 4, 5, 1.4, 4, 7, 7, 2, 6, 9, 6, 2, 4, 5, 7, 5, 1, 3, 7])
    return np.array([rng.multinomial(rng.integers(5, 100), p) for p in rng.dirichlet(shares, 400)])


def test_rare_types_are_seen_more_often(counts: NDArray[np.intp]) -> None:
    before = counts.sum(0).astype(float)
    times = occurrences(counts, np.random.default_rng(1))
    after = (times @ counts).astype(float)
    assert times.min() == 1
    assert times.max() <= MOST_OCCURRENCES
    assert chi_square_distance(after) < 0.5 * chi_square_distance(before)
    assert after[17] / after.sum() > 1.5 * before[17] / before.sum(), "tryptophan"
    again = occurrences(counts, np.random.default_rng(1))
    np.testing.assert_array_equal(times, again)
    for window in range(0, 400, 40):  # no single change makes it better
        for other in {1, int(times[window]) - 1, int(times[window]) + 1, 10} & set(range(1, 11)):
            changed = times.copy()
            changed[window] = other
            assert chi_square_distance((changed @ counts).astype(float)) > chi_square_distance(after) * (1 - 1e-3)


def test_selection_keeps_four_fifths_and_beats_chance(counts: NDArray[np.intp]) -> None:
    kept = selected(counts)
    assert kept.sum() == 320
    distance = chi_square_distance(counts[kept].sum(0).astype(float))
    rng = np.random.default_rng(3)
    by_chance = [chi_square_distance(counts[rng.permutation(400)[:320]].sum(0).astype(float)) for _ in range(500)]
    assert distance < 0.9 * min(by_chance)


def test_a_type_in_no_window_is_left_out(counts: NDArray[np.intp]) -> None:
    lacking = counts.copy()
    lacking[:, 3] = 0
    lacking[7] = 0  # and a window without residues
    times = occurrences(lacking, np.random.default_rng(1))
    assert times[7] == 1
    assert times.max() > 1
    assert selected(lacking).sum() == 320


@pytest.fixture(scope="module")
def window(crystal_map: DensityMap, crystal_residues: KnownResidues) -> Window:
    known = KnownMap(crystal_map, crystal_residues)
    return known.window(crystal_residues.centroids[50], np.eye(3), 32, SPACING, 2.0, 0.2)


def handedness(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the signed volume (Å³) of N, C and CB around CA of residues, NaN for those that lack one."""
    n, ca, c, cb = (points[:, POINTS.index(name)].astype(float) for name in ("N", "CA", "C", "CB"))
    return np.einsum("ij,ij->i", np.cross(n - ca, c - ca), cb - ca)


def at(volume: NDArray[np.generic], positions: NDArray[np.float32]) -> NDArray[np.float64]:
    inside = ((positions >= 0) & (positions <= (volume.shape[0] - 1) * SPACING)).all(1)
    values = map_coordinates(volume.astype(float), positions.T / SPACING, order=1)
    return np.where(inside, values, 0.0)


def test_every_orientation_keeps_amino_acids_left_handed(window: Window) -> None:
    every = orientations_of(24, np.random.default_rng(0))
    assert len({o.matrix.tobytes() for o in every}) == 24
    own = handedness(window.points)
    known = np.isfinite(own)
    assert known.sum() > 20
    assert (own[known] > 2).all(), "L-amino acids"
    atoms = window.points[:, POINTS.index("CA")]
    density = at(window.density, atoms)
    assert np.median(density[density > 0]) > 0.5
    pictures = set()
    for orientation in every:
        other = turned(window, orientation, SPACING)
        np.testing.assert_allclose(handedness(other.points)[known], own[known], atol=1e-2)
        np.testing.assert_allclose(at(other.density, other.points[:, POINTS.index("CA")]), density, atol=1e-3)
        assert (np.bincount(other.classes.ravel() + 1) == np.bincount(window.classes.ravel() + 1)).all()
        member = np.argwhere(other.residues == other.residues[other.classes < BACKGROUND].max())
        assert np.linalg.norm(member.mean(0) - other.points[other.residues.max(), 0] / SPACING) < 3
        pictures.add(other.density.tobytes())
    assert len(pictures) == 24
    mirrored = window.points * np.array([-1, 1, 1], np.float32)
    assert (handedness(mirrored)[known] < 0).all(), "what must never come"


def test_orientations_are_different_and_begin_with_the_window_itself() -> None:
    rng = np.random.default_rng(4)
    for times in (1, 2, MOST_OCCURRENCES):
        drawn = orientations_of(times, rng)
        assert len({o.matrix.tobytes() for o in drawn}) == times
        np.testing.assert_array_equal(drawn[0].matrix, np.eye(3))


def test_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models" / "train").mkdir(parents=True)
    for name in ("a", "b", "c", "d", "e", "f"):
        shutil.copy(MODEL, tmp_path / "models" / "train" / f"{name}.cif.gz")
    command = ["--structures", str(tmp_path / "models"), "--out", str(tmp_path / "out"), "--fold"]
    folds = [str(fold) for fold in {augmentation.fold_of(name) for name in "abcdef"}]
    assert augmentation.main([*command, folds[0]]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "augmentation.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in printed.splitlines() if "Å" in line]
    assert len(rows) == 6
    for row in rows:
        assert float(row[4].rstrip(" |")) <= float(row[3])
    assert (tmp_path / "out" / "augmentation.png").read_bytes().startswith(b"\x89PNG")
    for name in "bcdef":
        (tmp_path / "models" / "train" / f"{name}.cif.gz").unlink()
    assert augmentation.main([*command, folds[0]]) == TrainingDataError.exit_code
    assert "more are needed" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert augmentation.main([*command[:2], "--out", str(tmp_path / "file" / "out")]) == OutputError.exit_code
    assert "Cannot make the directory" in capsys.readouterr().err
