"""The way from a map to the proteins of a database that may be in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edseg_engine.building.search import Search, check_database, search
from edseg_engine.building.trace import trace
from edseg_engine.building.votes import backbone_residues
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.devices import choose_device
from edseg_engine.networks.card import WeightsInfo
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import read_voxels
from edseg_engine.progress import Clock, ProgressCallback, ignore_progress

#: Stages of a run, in their order.
STAGES = ("read", "prepare", "network", "instances", "classify", "trace", "search", "write")


@dataclass(frozen=True)
class Identification:
    """Which sequences of a database fit a map.

    Attributes
    ----------
    search
        What was found.
    database
        Where it was searched.
    input
        What was read as a map (JSON values).
    resolution
        d_min in Å that the run used.
    weights
        Those that named the residues.
    device
        Where the network ran.
    timings
        Seconds of each stage.
    warnings
        Sentences on how the map was read.
    """

    search: Search
    database: Path
    input: Mapping[str, object]
    resolution: float
    weights: WeightsInfo
    device: str
    timings: Mapping[str, float]
    warnings: tuple[str, ...] = ()


def identify(
    source: DensityMap | Path | str,
    database: Path,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 (frozen)
    progress: ProgressCallback = ignore_progress,
) -> Identification:
    """Trace the chains of a map and find the sequences of a database that fit them.

    Parameters
    ----------
    source
        The map, or the file to read it from.
    database
        FASTA file of proteins, also compressed with gzip.
    options
        As for `edseg_engine.segment`; what concerns files has no effect.
    progress
        Called often; raise `edseg_engine.errors.Cancelled` from it to stop.

    Raises
    ------
    DependencyError
        If pyhmmer is not installed.
    BuildError
        If no chain is long enough to search with.
    EdsegError
        One of its subclasses, with a sentence for the user, for every input that cannot be used.
    """
    check_database(database)
    clock = Clock(progress)
    reading = read_voxels(source, options, clock)
    residues = backbone_residues(reading, options, clock)
    with clock.stage("trace"):
        traced = trace(residues)
    with clock.stage("search"):
        found = search(traced, database, progress)
    return Identification(
        search=found,
        database=database,
        input=dict(reading.density.source),
        resolution=reading.resolution,
        weights=reading.weights.info,
        device=choose_device(options.device).type,
        timings=clock.timings,
        warnings=reading.warnings,
    )
