"""The memory of a run stays below what it was expected to need, and grows no faster with the map."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from batches import small_network
from edseg_engine import devices
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.options import SegmentOptions
from forked import FORKS, running
from tools.timing import SizeResult, measure_here, write_cube


def measure(path: Path, options: SegmentOptions, out: Connection) -> None:
    devices._LARGEST_TILE["cpu"] = 32  # so that both maps have tiles of the same size
    out.send(measure_here(path, options))


def size_of(density: DensityMap, edge: float, weights: Path) -> SizeResult:
    cube = weights.with_name("cube.ccp4")
    write_cube(density, edge, 1.0, cube)
    options = SegmentOptions(
        resolution=2.0, n_residues=round(edge**3 / 340), device="cpu", orientations=1, weights=weights
    )
    receiver, sender = FORKS.Pipe(duplex=False)
    with running(measure, cube, options, sender):
        sender.close()
        size: SizeResult = receiver.recv()
    return size


def test_memory_grows_with_the_map_as_expected(crystal_map: DensityMap, tmp_path: Path) -> None:
    weights = small_network(tmp_path)
    small, large = (size_of(crystal_map, edge, weights) for edge in (30.0, 75.0))
    assert large.residues > 1000
    assert large.peak_memory < large.ceiling
    expected = large.ceiling - small.ceiling
    assert 0.3 * expected < large.peak_memory - small.peak_memory < 1.5 * expected
