"""What a batch will take, before it is run: every map is read, none is worked on, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from edseg_engine.batch.inputs import find_maps
from edseg_engine.batch.journal import Journal
from edseg_engine.batch.journal_file import copied_journal
from edseg_engine.batch.plan import make_plan
from edseg_engine.batch.records import Done, Job
from edseg_engine.batch.run import BatchOptions
from edseg_engine.batch.settings import MapSettings, check_task
from edseg_engine.batch.tasks import require_task, segment_options, task_options
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import Region, choose_region
from edseg_engine.devices import choose_device
from edseg_engine.errors import EdsegError
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import require_amplitudes, segment
from edseg_engine.pipeline.sizes import box_voxels, memory_needed, memory_of_cycles
from edseg_engine.pipeline.voxels import with_resolution
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress
from edseg_engine.resolution import range_of_resolution

#: Half the edge in Å of the part of a map on which the machine is timed.
_PART = 12.0


@dataclass(frozen=True)
class MapEstimate:
    """What a map will take.

    Attributes
    ----------
    name
        Of its directory.
    problem
        Why it will fail; empty if nothing is known that speaks against it.
    resolution
        d_min in Å.
    memory
        Bytes.
    seconds
        None if there is nothing to go by.
    """

    name: str
    problem: str = ""
    resolution: float = 0.0
    memory: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class BatchEstimate:
    """What is to be done of a batch, and how many maps were finished before."""

    maps: tuple[MapEstimate, ...]
    done: int
    failed: int


def estimate_batch(
    inputs: Sequence[Path | str],
    directory: Path | str,
    options: BatchOptions,
    progress: ProgressCallback = ignore_progress,
) -> BatchEstimate:
    """Return what `edseg_engine.batch.run.run_batch` will have to do, and about how long one map after the other takes.

    The time of segmenting is in proportion to the voxels that the network reads. How long one of them takes comes from
    maps that were finished before, else from a small part of the first map, which is segmented. The time of building is
    the mean of the models that were finished before.

    Parameters
    ----------
    progress
        Is called with the stage ``read`` and the share of the maps that have been read.
    """
    directory = Path(directory).absolute()
    require_task(options.task)
    choose_device(options.device)
    maps = find_maps(inputs, options.settings, directory)
    with copied_journal(directory, options.task) as journal:
        plan = make_plan(maps, journal, directory, retry_failed=options.retry_failed)
        clock = _Stopwatch(options, _past(journal, options.task))
    estimates = []
    for number, job in enumerate(plan.todo):
        estimates.append(_estimate(job, options, clock))
        progress(Progress("read", (number + 1) / len(plan.todo)))
    return BatchEstimate(tuple(estimates), plan.done, plan.failed)


def _past(journal: Journal, task: str) -> float | None:
    """Return seconds for each voxel and network run, or for each model, of the maps that were finished before."""
    done = [(e, e.result) for e in journal.entries() if isinstance(e.result, Done) and e.seconds]
    if task == "build":
        return fmean(entry.seconds for entry, _ in done) if done else None
    voxels = sum(
        result.voxels * _runs(entry.settings["orientations"], entry.settings.get("cycles"))
        for entry, result in done
        if result.voxels
    )
    return sum(entry.seconds for entry, result in done if result.voxels) / voxels if voxels else None


def _runs(orientations: object, cycles: object) -> int:
    """Return how often networks read a voxel: in each cycle in each orientation for classes, and once for atoms."""
    return (int(str(orientations)) + 1) * int(str(cycles or SegmentOptions.cycles))


@dataclass
class _Stopwatch:
    """Knows what a voxel costs, from the past or by trying."""

    options: BatchOptions
    cost: float | None

    def seconds(self, density: DensityMap, region: Region, settings: MapSettings, voxels: float) -> float | None:
        if self.options.task == "build":
            return self.cost
        if self.cost is None:
            self.cost = self._try(density, region, settings)
        return self.cost * voxels * _runs(settings.orientations, settings.cycles)

    def _try(self, density: DensityMap, region: Region, settings: MapSettings) -> float:
        middle = (region.low + region.high) / 2
        x, y, z = middle.tolist()
        box = (x - _PART, y - _PART, z - _PART, x + _PART, y + _PART, z + _PART)
        part = replace(
            settings, region="box", box=box, views=1, sequence=None, class_maps=False, voxels=False, cycles=1
        )
        options = segment_options(replace(part, residues=None), self.options.device)
        segment(density, options)  # the first run is slower than others
        timings = segment(density, options).timings
        d_min = density.d_min or 0.0
        voxels = box_voxels(choose_region(density, "box", box), range_of_resolution(d_min), 1)
        return (
            sum(seconds for stage, seconds in timings.items() if stage != "read")
            / voxels
            / _runs(part.orientations, part.cycles)
        )


def _estimate(job: Job, options: BatchOptions, clock: _Stopwatch) -> MapEstimate:
    settings = job.settings
    if job.refusal:
        return MapEstimate(job.name, job.refusal)
    try:
        check_task(settings, options.task)
        cycles = task_options(settings, options.device, options.task).cycles
        if cycles > 1:
            require_amplitudes(read_amplitudes(job.path))
        density = read_map(job.path, resolution=settings.resolution, f_label=settings.f, phi_label=settings.phi)
        density, d_min = with_resolution(density, settings.resolution)
        region, resolution_range = choose_region(density, settings.region, settings.box), range_of_resolution(d_min)
        memory = memory_of_cycles(memory_needed(density, region, resolution_range, settings.views), cycles)
        if options.memory is not None and memory > options.memory:
            return MapEstimate(job.name, f"It needs {memory / 1e9:.1f} GB of memory, more than the limit.")
        voxels = box_voxels(region, resolution_range, settings.views)
        return MapEstimate(job.name, "", d_min, memory, clock.seconds(density, region, settings, voxels))
    except EdsegError as error:
        return MapEstimate(job.name, str(error))
