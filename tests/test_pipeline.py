"""The whole way from a real map to labelled residues, by the shipped weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.errors import (
    Cancelled,
    DeviceError,
    EdsegError,
    MapContentError,
    OptionError,
    ResolutionError,
    WeightsError,
)
from edseg_engine.evaluation.matching import match
from edseg_engine.evaluation.metrics import ResidueCounts, count_residues
from edseg_engine.io.mtz import map_columns, write_mtz
from edseg_engine.io.read import read_map
from edseg_engine.labels import LABELS
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import run, segment
from edseg_engine.pipeline.voxels import with_resolution
from edseg_engine.progress import STAGES, Progress
from edseg_engine.residues.known import KnownResidues
from edseg_engine.residues.ncs import Copies, pooled_over_copies
from edseg_engine.results.files import IMPROVED_FILE, write_results
from edseg_engine.results.reading import read_results
from edseg_engine.results.records import Segmentation
from places import CRYSTAL

N_RESIDUES = 95


def positions_of(result: Segmentation) -> np.ndarray:
    return np.array([r.position for r in result.residues])


def counts_of(result: Segmentation, truth: KnownResidues, symmetry: Symmetry) -> ResidueCounts:
    pairs = match(positions_of(result), truth.centroids, symmetry)
    return count_residues(np.array([r.probabilities for r in result.residues]), truth.labels, pairs)


@pytest.fixture(scope="module")
def symmetry(crystal_map: DensityMap) -> Symmetry:
    return Symmetry(crystal_map.cell, crystal_map.spacegroup)


@pytest.fixture(scope="module")
def result(crystal_map: DensityMap) -> Segmentation:
    return segment(crystal_map, SegmentOptions(n_residues=N_RESIDUES, class_maps=True))


def same_residues(a: Segmentation, b: Segmentation, symmetry: Symmetry) -> float:
    """Fraction of the residues of `a` with one of `b` within 0.7 Å and the same rank-1 label."""
    pairs = match(positions_of(a), positions_of(b), symmetry, cutoff=0.7)
    same = [
        a.residues[i].ranks[0][0] == b.residues[j].ranks[0][0] for i, j in zip(pairs.found, pairs.true, strict=True)
    ]
    return sum(same) / len(a.residues)


def test_residues_of_a_real_crystal_are_found_and_labelled(
    result: Segmentation, crystal_residues: KnownResidues, symmetry: Symmetry
) -> None:
    assert len(result.residues) == N_RESIDUES
    figures = counts_of(result, crystal_residues, symmetry).figures()
    assert figures["recall"] > 0.90
    assert figures["rank1"] > 0.55
    assert figures["rank3"] > 0.75
    assert result.region == "asu"
    assert result.resolution == pytest.approx(2.0, abs=0.02)
    assert set(result.timings) == set(STAGES) - {"write"}


def test_proposals_are_in_order_and_add_up(result: Segmentation) -> None:
    assert [r.id for r in result.residues] == list(range(1, N_RESIDUES + 1))
    confidence = [r.confidence for r in result.residues]
    assert confidence == sorted(confidence, reverse=True)
    for residue in result.residues:
        assert sum(residue.probabilities) == pytest.approx(1.0)
        ranks = residue.ranks
        assert ranks[0][1] >= ranks[1][1] >= ranks[2][1]
        assert 0 <= residue.confidence <= 1
        assert residue.n_voxels > 0


def test_each_residue_is_reported_once_and_in_a_compact_molecule(result: Segmentation, symmetry: Symmetry) -> None:
    xyz = positions_of(result)
    images = symmetry.images_in_box(xyz, xyz.min(0) - 2, xyz.max(0) + 2)
    for i, position in enumerate(xyz):
        others = images.positions[images.index != i]
        assert np.linalg.norm(others - position, axis=1).min() > 1.5
    nearest = np.sort(np.linalg.norm(xyz[:, None] - xyz[None], axis=-1), axis=1)[:, 1]
    assert np.median(nearest) < 5.0


def test_k_is_found_from_the_votes(
    crystal_map: DensityMap, crystal_residues: KnownResidues, symmetry: Symmetry
) -> None:
    found = segment(crystal_map, SegmentOptions())
    assert len(found.residues) == pytest.approx(N_RESIDUES, rel=0.15)
    assert counts_of(found, crystal_residues, symmetry).figures()["recall"] > 0.9


def test_scale_and_offset_of_the_map_change_nothing(crystal_map: DensityMap, symmetry: Symmetry) -> None:
    z_scores = replace(crystal_map, values=crystal_map.values * np.float32(123.0) + np.float32(17.0))
    # Averaged, for rounding in bfloat16 decides on the doubtful residues of a single orientation.
    first, other = (segment(m, SegmentOptions(n_residues=N_RESIDUES, orientations=4)) for m in (crystal_map, z_scores))
    assert same_residues(first, other, symmetry) > 0.98


def test_the_same_input_gives_the_same_result(crystal_map: DensityMap, result: Segmentation) -> None:
    again = segment(crystal_map, SegmentOptions(n_residues=N_RESIDUES, class_maps=True))
    assert again.residues == result.residues


@pytest.mark.parametrize("change", ["threads", "tiles"])
def test_threads_and_tiles_change_nothing(
    crystal_map: DensityMap, result: Segmentation, symmetry: Symmetry, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    if change == "tiles":
        monkeypatch.setattr("edseg_engine.inference.predict.largest_tile", lambda device: 56)
    try:
        if change == "threads":
            torch.set_num_threads(1 if threads > 1 else 2)
        other = segment(crystal_map, SegmentOptions(n_residues=N_RESIDUES))
    finally:
        torch.set_num_threads(threads)
    assert same_residues(other, result, symmetry) >= 0.98
    pairs = match(positions_of(other), positions_of(result), symmetry, cutoff=0.3)
    p, q = (np.array([r.probabilities for r in s.residues])[i] for s, i in ((other, pairs.found), (result, pairs.true)))
    assert np.median(np.abs(p - q)) < 1e-3
    assert np.quantile(np.abs(p - q).max(1), 0.95) < 0.05


def test_another_choice_of_origin_in_the_cell_changes_little(
    crystal_map: DensityMap, result: Segmentation, symmetry: Symmetry
) -> None:
    """The map moved along the polar-free origin shift of P 32 2 1 (half the c axis) is the same crystal."""
    nw = crystal_map.values.shape[2]
    assert nw % 2 == 0
    moved = replace(crystal_map, values=np.roll(crystal_map.values, nw // 2, axis=2))
    other = segment(moved, SegmentOptions(n_residues=N_RESIDUES))
    half = symmetry.to_orthogonal(np.array([[0, 0, 0.5]]))[0]
    back = tuple(
        replace(r, position=(r.position[0] - half[0], r.position[1] - half[1], r.position[2] - half[2]))
        for r in other.residues
    )
    assert same_residues(result, replace(other, residues=back), symmetry) > 0.75


def test_the_whole_cell_holds_every_copy(crystal_map: DensityMap, result: Segmentation, symmetry: Symmetry) -> None:
    cell = segment(crystal_map, SegmentOptions(n_residues=6 * N_RESIDUES, region="cell"))
    assert cell.region == "cell"
    lattice = Symmetry(crystal_map.cell, gemmi.SpaceGroup("P 1"))
    copies = np.concatenate(
        [
            symmetry.apply(positions_of(result), np.full(N_RESIDUES, op), np.zeros((N_RESIDUES, 3), int))
            for op in range(len(symmetry))
        ]
    )
    pairs = match(positions_of(cell), copies, lattice, cutoff=1.5)
    assert len(pairs.found) > 0.9 * len(copies)


def test_a_box_cut_from_the_crystal_gives_the_residues_inside(
    crystal_map: DensityMap, result: Segmentation, symmetry: Symmetry
) -> None:
    shape = np.array(crystal_map.values.shape)
    start = (shape * 0.1).astype(int)
    index = [(np.arange(int(n * 0.8)) + s) % n for s, n in zip(start, shape, strict=True)]
    box = replace(
        crystal_map,
        values=np.ascontiguousarray(crystal_map.values[np.ix_(*index)]),
        grid=replace(crystal_map.grid, start=tuple(int(s) for s in start)),
        periodic=False,
    )
    found = segment(box, SegmentOptions())
    assert found.region == "box"
    pairs = match(positions_of(found), positions_of(result), symmetry, cutoff=1.5)
    # Several symmetry copies of the molecule lie in the box; nearly all that is found is one of them.
    images = symmetry.images_in_box(
        positions_of(result), positions_of(found).min(0) - 1, positions_of(found).max(0) + 1
    )
    distance = np.linalg.norm(positions_of(found)[:, None] - images.positions[None], axis=-1).min(1)
    assert (distance < 1.5).mean() > 0.75
    assert len(pairs.found) > 0.5 * N_RESIDUES


def test_class_maps_agree_with_the_residues(
    crystal_map: DensityMap, crystal_residues: KnownResidues, result: Segmentation, symmetry: Symmetry
) -> None:
    maps = result.class_maps
    assert maps is not None
    total = np.zeros(crystal_map.values.shape, np.float32)
    best = np.full(crystal_map.values.shape, -1)
    highest = np.zeros(crystal_map.values.shape, np.float32)
    for label in range(len(LABELS)):
        values = maps.of_label(label)
        assert values.shape == crystal_map.values.shape
        assert values.min() >= 0
        total += values
        better = values > highest
        best[better], highest[better] = label, values[better]
    assert total.max() <= 1.01
    shape = np.array(crystal_map.values.shape)
    hits = []
    # The class at a residue's own atoms, at any symmetry copy, is mostly the residue's.
    for op in range(len(symmetry)):
        atoms = symmetry.apply(crystal_residues.atoms, np.full(len(crystal_residues.atoms), op), np.zeros((1, 3), int))
        grid = np.round(symmetry.to_fractional(atoms) * shape).astype(int) % shape
        labels = np.where(
            crystal_residues.residue_of_atom >= 0, crystal_residues.labels[crystal_residues.residue_of_atom], -2
        )
        here = best[grid[:, 0], grid[:, 1], grid[:, 2]]
        hits.append((here[here >= 0] == labels[here >= 0]).mean())
    assert min(hits) > 0.4
    assert np.ptp(hits) < 0.1


def test_more_views_find_the_same_residues(
    crystal_map: DensityMap, crystal_residues: KnownResidues, result: Segmentation, symmetry: Symmetry
) -> None:
    options = SegmentOptions(n_residues=N_RESIDUES, views=2, class_maps=True, voxels=True)
    seen: list[Progress] = []
    found = segment(crystal_map, options, seen.append)
    assert same_residues(result, found, symmetry) > 0.9
    assert counts_of(found, crystal_residues, symmetry).figures()["recall"] > 0.9
    network = [p.fraction for p in seen if p.stage == "network"]
    assert network == sorted(network)
    assert network[-1] == 1
    # Voxels, their number and the class maps are those of one view, not of all.
    voxels = [sum(r.n_voxels for r in s.residues) for s in (result, found)]
    assert voxels[1] == pytest.approx(voxels[0], rel=0.1)
    assert found.voxels is not None
    assert len(found.voxels.residue) == pytest.approx(voxels[1], rel=0.1)
    assert found.class_maps is not None
    assert result.class_maps is not None
    one, other = (np.mean([m.of_label(0) > 0.5], dtype=float) for m in (result.class_maps, found.class_maps))
    assert 0 < other == pytest.approx(one, rel=0.25)


def test_progress_names_the_stages_in_order_and_cancels(crystal_map: DensityMap) -> None:
    seen: list[Progress] = []
    segment(crystal_map, SegmentOptions(), seen.append)
    stages = list(dict.fromkeys(p.stage for p in seen))
    assert stages == [s for s in STAGES if s != "write"]
    assert all(0 <= p.fraction <= 1 for p in seen)

    def stop(progress: Progress) -> None:
        if progress.stage == "network":
            raise Cancelled("enough")

    with pytest.raises(Cancelled), suppress(EdsegError):
        segment(crystal_map, progress=stop)


@pytest.mark.parametrize(
    ("of_map", "given", "used"), [(2.0, None, 2.0), (2.0, 1.2, 2.0), (2.0, 3.0, 3.0), (None, 2.8, 2.8)]
)
def test_no_map_is_read_finer_than_it_is(
    crystal_map: DensityMap, of_map: float | None, given: float | None, used: float
) -> None:
    density, d_min = with_resolution(replace(crystal_map, d_min=of_map), given)
    assert (density.d_min, d_min) == (used, used)


def test_bad_options_are_one_sentence(crystal_map: DensityMap, tmp_path: Path) -> None:
    unknown = replace(crystal_map, d_min=None)
    with pytest.raises(ResolutionError, match="--resolution"):
        segment(unknown)
    with pytest.raises(DeviceError, match="mps"):
        segment(crystal_map, SegmentOptions(device="mps"))
    with pytest.raises(WeightsError, match="cannot be read"):
        segment(crystal_map, SegmentOptions(weights=tmp_path / "none.safetensors"))


def test_noise_gives_a_warning_and_no_crash(crystal_map: DensityMap) -> None:
    flat = np.random.default_rng(0).normal(0, 1, crystal_map.values.shape).astype(np.float32)
    found = segment(replace(crystal_map, values=flat), SegmentOptions())
    assert found.warnings
    # One peak of density and nothing else.
    values = np.random.default_rng(0).normal(0, 1e-3, crystal_map.values.shape).astype(np.float32)
    values[3, 3, 3] = 100.0
    nothing = segment(replace(crystal_map, values=values), SegmentOptions())
    assert len(nothing.residues) < 5
    assert nothing.warnings


IN_A_BOX = SegmentOptions(box=(0.0, 0.0, 0.0, 25.0, 25.0, 25.0))


@pytest.fixture(scope="module")
def in_a_box(crystal_map: DensityMap) -> Segmentation:
    return segment(crystal_map, IN_A_BOX)


@pytest.mark.parametrize("factor", [1e-28, 1e12])
def test_maps_of_any_scale_are_worked_on(
    crystal_map: DensityMap, in_a_box: Segmentation, symmetry: Symmetry, factor: float
) -> None:
    scaled = replace(crystal_map, values=crystal_map.values.astype(np.float64) * factor)
    one, other = in_a_box, segment(scaled, IN_A_BOX)
    assert len(one.residues) > 20
    assert same_residues(one, other, symmetry) > 0.9


def with_value(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[3, 4, 5] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: {"values": np.ones_like(m.values)}, "same value"),
        (lambda m: {"values": with_value(m.values, np.nan)}, "NaN"),
        (lambda m: {"values": with_value(m.values.astype(np.float64), 1e300)}, "as large as"),
        (lambda m: {"values": m.values.astype(np.complex64)}, "complex64"),
        (lambda m: {"values": m.values > 0}, "bool"),
        (lambda m: {"values": m.values[0]}, "shape"),
        (lambda m: {"values": m.values[:0]}, "shape"),
        (lambda m: {"values": m.values[1:]}, "periodic"),
        (lambda m: {"grid": replace(m.grid, start=(1, 0, 0))}, "periodic"),
        (lambda m: {"grid": replace(m.grid, cell=gemmi.UnitCell(40, 50, 60, 90, 90, 90))}, "does not fit"),
        (lambda m: {"grid": replace(m.grid, cell=gemmi.UnitCell(0, 50, 60, 90, 90, 90))}, "lengths"),
    ],
)
def test_maps_that_are_no_density_are_refused(
    crystal_map: DensityMap, change: Callable[[DensityMap], dict[str, Any]], message: str
) -> None:
    with pytest.raises(MapContentError, match=message):
        segment(replace(crystal_map, **change(crystal_map)))


@pytest.fixture(scope="module")
def poor_phases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the measured amplitudes of the crystal and the map of its main chain alone."""
    crystal = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, CRYSTAL))
    phases = crystal.initial_phases(2.0, TYPICAL["main-chain"], np.random.default_rng(0))
    path = tmp_path_factory.mktemp("poor") / "poor.mtz"
    columns = {"F": ("F", phases.amplitudes), **map_columns(phases.amplitudes * phases.centroids)}
    write_mtz(path, phases.cell, phases.spacegroup, phases.miller, columns)
    return path


def test_another_cycle_names_more_residues_of_a_map_of_poor_phases(
    poor_phases: Path, crystal_residues: KnownResidues, symmetry: Symmetry, tmp_path: Path
) -> None:
    stages: list[str] = []

    def heard(progress: Progress) -> None:
        stages.append(progress.stage)

    once = segment(poor_phases, SegmentOptions(n_residues=N_RESIDUES))
    again = segment(poor_phases, SegmentOptions(n_residues=N_RESIDUES, cycles=2), heard)
    first, second = (counts_of(found, crystal_residues, symmetry).figures() for found in (once, again))
    assert second["rank1"] > first["rank1"] + 0.05
    assert second["recall"] >= first["recall"]
    assert list(dict.fromkeys(stages)) == ["read", "cycles"]
    assert once.improved is None
    assert "--cycles" in once.warnings[-1]
    assert not any("--cycles" in warning for warning in again.warnings)
    assert again.improved is not None
    assert again.input["cycle"] == 2
    write_results(again, tmp_path / "out")
    written = read_map(tmp_path / "out" / IMPROVED_FILE)
    np.testing.assert_allclose(written.values, again.improved.values, atol=1e-2 * again.improved.values.std())
    assert read_results(tmp_path / "out").options.cycles == 2


def test_cycles_need_measured_amplitudes(crystal_map: DensityMap) -> None:
    with pytest.raises(OptionError, match=r"measured amplitudes.*--cycles"):
        segment(crystal_map, SegmentOptions(cycles=2))


def test_copies_count_less_where_their_densities_were_averaged(
    crystal_map: DensityMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In improved maps that were not, they count as in a map as it was read."""
    told: list[bool] = []

    def pooled(probabilities: NDArray[np.float64], copies: Copies, averaged: bool) -> NDArray[np.float64]:
        told.append(averaged)
        return pooled_over_copies(probabilities, copies, averaged)

    monkeypatch.setattr(run, "pooled_over_copies", pooled)
    for averaged in (False, True):
        segment(replace(crystal_map, cycle=2, averaged=averaged))
    assert told == [False, True]
