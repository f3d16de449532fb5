"""Votes to residues: seeds, K, symmetry, and compact molecules."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from scipy.spatial import cKDTree

from edseg_engine.crystal.assembly import assemble
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.evaluation.matching import match
from edseg_engine.residues.instances import EXCLUSION, find_instances, vote_peaks


def region_of(name: str, cell: tuple[float, ...]) -> Region:
    grid = MapGrid(gemmi.UnitCell(*cell), gemmi.SpaceGroup(name), (24, 24, 24))
    return choose_region(DensityMap(np.zeros((24, 24, 24), np.float32), grid), "asu")


def chain(n: int, rng: np.random.Generator) -> np.ndarray:
    """Centroids of a made-up chain: steps of 5.5 Å that keep 4.5 Å apart from all before."""
    out = [np.zeros(3)]
    while len(out) < n:
        step = rng.normal(size=3)
        new = out[-1] + 5.5 * step / np.linalg.norm(step)
        if np.linalg.norm(np.array(out) - new, axis=1).min() > 4.5:
            out.append(new)
    return np.array(out)


def votes_in(
    region: Region, centroids: np.ndarray, rng: np.random.Generator, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return votes of the voxels inside the region, and which centroid each is of, as a network would cast them."""
    reach = 6.0
    images = region.symmetry.images_in_box(centroids, region.low - reach, region.high + reach)
    voxels = np.repeat(images.positions, 40, axis=0) + rng.normal(0, 1.6, (40 * len(images), 3))
    inside = region.contains(voxels)
    votes = np.repeat(images.positions, 40, axis=0) + rng.normal(0, noise, voxels.shape)
    return votes[inside], np.repeat(images.index, 40)[inside]


CASES = [
    ("P 1", (48, 52, 57, 81, 97, 103)),
    ("P 1 21 1", (45, 60, 50, 90, 112, 90)),
    ("P 21 21 21", (50, 60, 70, 90, 90, 90)),
    ("P 32 2 1", (60, 60, 80, 90, 90, 120)),
    ("I 4 3 2", (130, 130, 130, 90, 90, 90)),
]


@pytest.mark.parametrize(("name", "cell"), CASES)
def test_each_residue_is_found_once_in_the_crystal(name: str, cell: tuple[float, ...]) -> None:
    rng = np.random.default_rng(5)
    region = region_of(name, cell)
    true = chain(40, rng) + region.centres[0]
    images = region.symmetry.images_in_box(true, true.min(0) - 5, true.max(0) + 5)
    # Residues that clash with a copy are no crystal: leave them out of the made-up structure.
    near = cKDTree(images.positions).query_ball_point(true, 4.0)
    true = true[[len(n) == 1 for n in near]]
    assert len(true) > 15
    votes, owner = votes_in(region, true, rng)
    weights = np.ones(len(votes), np.float32)
    for k in (len(true), None):
        found = find_instances(votes, weights, region.symmetry, k)
        pairs = match(found.centroids, true, region.symmetry, cutoff=1.0)
        assert len(found) == len(true)
        assert len(pairs.found) == len(true)
        assert pairs.distance.mean() < 0.3
        label_of = np.empty(len(found), int)
        label_of[pairs.found] = pairs.true
        assigned = found.members >= 0
        assert (label_of[found.members[assigned]] == owner[assigned]).mean() > 0.97


def test_peaks_keep_their_distance_also_across_a_cell_edge() -> None:
    region = region_of("P 1", (40, 40, 40, 90, 90, 90))
    rng = np.random.default_rng(0)
    border = np.array([0.0, 20.0, 20.0])
    votes = np.concatenate([border + rng.normal(0, 0.5, (60, 3)), border + [40, 0, 0] + rng.normal(0, 0.5, (60, 3))])
    peaks, heights = vote_peaks(votes, np.ones(len(votes)), region.symmetry)
    assert len(peaks[heights > 0.2 * heights[0]]) == 1
    copies = region.symmetry.images_in_box(peaks, peaks.min(0) - 45, peaks.max(0) + 45)
    for i, peak in enumerate(peaks):
        others = copies.positions[copies.index != i]
        assert not len(others) or np.linalg.norm(others - peak, axis=1).min() >= EXCLUSION - 1e-6


def test_more_residues_asked_for_than_peaks_are_split_off() -> None:
    rng = np.random.default_rng(1)
    symmetry = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    votes = np.concatenate([rng.normal(0, 0.6, (100, 3)), rng.normal(0, 0.6, (100, 3)) + [1.9, 0, 0]])
    found = find_instances(votes, np.ones(200), symmetry, 2)
    assert len(found) == 2


@pytest.mark.parametrize(("wanted", "left_out", "is_choice"), [(None, 0, False), (9, 1, False), (4, 6, True)])
def test_residues_that_were_not_asked_for_are_counted(wanted: int | None, left_out: int, is_choice: bool) -> None:
    symmetry = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    votes = np.random.default_rng(1).normal(0, 0.2, (500, 3)) + 6.0 * (np.arange(500)[:, None] // 50) * [1, 0, 0]
    found = find_instances(votes, np.ones(500), symmetry, wanted)
    assert (len(found), found.left_out, found.is_choice) == (wanted or 10, left_out, is_choice)


def test_a_fragment_leaves_its_place_to_the_next_peak() -> None:
    rng = np.random.default_rng(1)
    symmetry = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    # Votes of one residue, of a part of it whose centroid comes too near, and of a faint residue elsewhere.
    along_x = [(0.0, 100), (2.8, 12), (1.5, 7), (20.0, 4)]
    votes = np.concatenate([rng.normal(0, 0.1, (n, 3)) + [x, 0, 0] for x, n in along_x])
    found = find_instances(votes, np.ones(len(votes)), symmetry, 2)
    assert sorted(np.round(found.centroids[:, 0])) == [0, 20]
    assert sorted(found.votes) == [4, 119]


def test_absurdly_many_residues_asked_for_end_with_those_there_are() -> None:
    rng = np.random.default_rng(1)
    symmetry = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    found = find_instances(rng.normal(0, 0.6, (300, 3)), np.ones(300), symmetry, 100_000)
    assert 1 <= len(found) < 50


def test_votes_of_an_unsure_network_still_count() -> None:
    """As on maps with poor phases: no voxel is likely to be a residue's, or those of half of the residues are not."""
    rng = np.random.default_rng(2)
    symmetry = Symmetry(gemmi.UnitCell(1, 1, 1, 90, 90, 90), gemmi.SpaceGroup("P 1"), periodic=False)
    centroids = chain(20, rng)
    votes = np.repeat(centroids, 30, axis=0) + rng.normal(0, 0.4, (600, 3))
    everywhere = np.full(600, 0.2)
    for k in (None, 20):
        found = find_instances(votes, everywhere, symmetry, k)
        assert len(match(found.centroids, centroids, symmetry).true) == 20
    half = np.where(np.arange(600) < 300, 0.9, 0.08)
    assert len(find_instances(votes, half, symmetry)) == 10
    found = find_instances(votes, half, symmetry, 20)
    assert len(match(found.centroids, centroids, symmetry).true) == 20


def test_no_votes_give_no_residues() -> None:
    symmetry = Symmetry(gemmi.UnitCell(30, 30, 30, 90, 90, 90), gemmi.SpaceGroup("P 1"))
    for k in (None, 10):
        found = find_instances(np.zeros((0, 3)), np.zeros(0), symmetry, k)
        assert len(found) == 0


@pytest.mark.parametrize(("name", "cell"), CASES)
def test_the_reported_copies_make_a_compact_molecule(name: str, cell: tuple[float, ...]) -> None:
    rng = np.random.default_rng(8)
    region = region_of(name, cell)
    true = chain(30, rng) + region.centres[0]
    scattered = true.copy()
    for i in range(len(true)):
        operation = np.array([rng.integers(len(region.symmetry))])
        scattered[i] = region.symmetry.apply(true[i : i + 1], operation, rng.integers(-1, 2, (1, 3)))[0]
    placed = assemble(scattered, region.symmetry)
    same = match(placed, true, region.symmetry, cutoff=0.01)
    assert len(same.found) == len(true)
    # Neighbours along the chain are neighbours again: the spread is that of a molecule, not of a crystal.
    gaps = np.sort(np.linalg.norm(placed[:, None] - placed[None], axis=-1), axis=1)[:, 1]
    assert gaps.max() < 5.6
    assert np.ptp(placed, axis=0).max() <= np.ptp(scattered, axis=0).max() + 1e-6
