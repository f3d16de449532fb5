"""What is done with each map: its steps, each of which takes what the step before it gave, and what comes of them."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from edseg_engine.batch.digests import sha256_of
from edseg_engine.batch.records import Done, Failed, Outcome, Work
from edseg_engine.batch.settings import MapSettings, check_task
from edseg_engine.building.child import require_programs
from edseg_engine.building.files import BUILD_OUTPUT, BUILD_SCHEMA
from edseg_engine.building.from_files import build_from_files
from edseg_engine.building.results import BuildOptions
from edseg_engine.errors import Cancelled, EdsegError, OptionError, ResultFormatError
from edseg_engine.io.names import shown
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.io.result_files import ResultFiles
from edseg_engine.io.sequence import count_residues
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import label_residues, prepare_map, read_cycles, run_network
from edseg_engine.pipeline.sizes import memory_of_cycles, require_run_memory
from edseg_engine.progress import Clock, ProgressCallback, ignore_progress
from edseg_engine.results.files import RESULT_OUTPUT, write_results
from edseg_engine.results.reading import read_results

#: A step of the work on a map.
Step = Callable[[Any], Any]
#: Is called with the bytes that a map needs, before they are taken.
Admit = Callable[[float], None]
#: Files of a result, by task.
OUTPUTS: Mapping[str, ResultFiles] = {"segment": RESULT_OUTPUT, "build": BUILD_OUTPUT}


def require_task(task: str) -> None:
    """Make sure that the programs that a task needs are installed; raises `DependencyError`."""
    if task == "build":
        require_programs()


def do_work(work: Work) -> Outcome:
    """Do all steps of the work on a map, one after the other, and return what came of it."""
    given: Any = None
    start = time.perf_counter()
    try:
        for step in steps_of(work, ignore_progress, require_run_memory):
            given = step(given)
    except Exception as error:  # noqa: BLE001 (one bad map must not stop the others)
        given = failure_of(error)
    return Outcome(given, time.perf_counter() - start)


def failure_of(error: BaseException) -> Failed:
    """Return what the journal says of an error; a stopped run is none, so `Cancelled` is raised again."""
    if isinstance(error, Cancelled):
        raise error
    if isinstance(error, EdsegError):
        return Failed(type(error).__name__, str(error))
    if isinstance(error, MemoryError):
        return Failed("DeviceError", "There is not enough memory for this map; close other programs.")
    kind = type(error).__name__
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return Failed(kind, f"This is an error of edseg itself, not of the map ({kind} in {where}: {error}).")


def steps_of(work: Work, progress: ProgressCallback, admit: Admit) -> tuple[Step, ...]:
    """Return the steps of the work on a map; the last gives a `Done`.

    Parameters
    ----------
    progress
        Is called often; raise `edseg_engine.errors.Cancelled` from it to stop.
    admit
        Waits until the map may have the memory that it needs, or refuses it.
    """
    steps = _build_steps if work.task == "build" else _segment_steps
    first, *others = steps(work, Clock(progress), admit)

    def checked(nothing: object) -> Any:
        if work.job.refusal:
            raise OptionError(work.job.refusal)
        check_task(work.job.settings, work.task)
        return first(nothing)

    return (checked, *others)


def read_summary(task: str, directory: Path) -> dict[str, object]:
    """Return what the page's table says of a result, which is read back completely.

    Raises
    ------
    ResultFormatError
        If there is no sound result.
    """
    return _build_summary(directory) if task == "build" else _segment_summary(directory)


def done_of(task: str, directory: Path, input_sha256: str, voxels: float = 0.0) -> Done:
    """Return the record of a result that is there, and reads back; raises `ResultFormatError` otherwise."""
    summary = read_summary(task, directory)
    paths = ((name, directory / name) for name in sorted(OUTPUTS[task].names))
    files = {name: path.stat().st_size for name, path in paths if path.is_file()}
    return Done(files, sha256_of(directory / OUTPUTS[task].document), input_sha256, summary, voxels)


def task_options(settings: MapSettings, device: str, task: str) -> SegmentOptions:
    """Return `segment_options` without what has another meaning in a task than `segment`."""
    return segment_options(settings if task == "segment" else replace(settings, cycles=None), device)


def segment_options(settings: MapSettings, device: str) -> SegmentOptions:
    """Return the options of segmenting a map; its sequence, if it has one, is read."""
    cycles = SegmentOptions.cycles if settings.cycles is None else settings.cycles
    options = replace(network_options(settings, device), cycles=cycles)
    if settings.residues is None and settings.sequence is not None:
        return replace(options, n_residues=count_residues(settings.sequence))
    return options


def network_options(settings: MapSettings, device: str) -> SegmentOptions:
    """Return what the settings of a map say about running the network; those of its sequence are left out.

    Raises
    ------
    OptionError, ResolutionError
        If a value makes no sense.
    """
    return SegmentOptions(
        resolution=settings.resolution,
        n_residues=settings.residues,
        region=settings.region,
        device=device,
        orientations=settings.orientations,
        views=settings.views,
        class_maps=settings.class_maps,
        voxels=settings.voxels,
        box=settings.box,
        weights=settings.weights,
    )


def _segment_steps(work: Work, clock: Clock, admit: Admit) -> list[Step]:
    """Before the network, the network, and after it: so different maps can be at different steps at once."""
    settings, path = work.job.settings, work.job.path
    sha256, voxels = "", 0.0
    options: SegmentOptions

    def prepare(_: object) -> Any:
        nonlocal options, sha256, voxels
        options = segment_options(settings, work.device)
        sha256 = sha256_of(path)  # before it is read: a file that changes in the meantime is read again another time
        with clock.stage("read"):
            density = read_map(path, resolution=settings.resolution, f_label=settings.f, phi_label=settings.phi)
        prepared = prepare_map(density, options, clock, lambda needed: admit(memory_of_cycles(needed, options.cycles)))
        voxels = float(sum(np.prod(volume.values.shape) for volume in prepared.volumes))
        return prepared if options.cycles == 1 else prepared.density

    def run(prepared: Any) -> Any:
        if options.cycles > 1:
            return read_cycles(prepared, read_amplitudes(path), options, clock)
        return run_network(prepared, options, clock), None

    def write(read: Any) -> Done:
        reading, found = read
        segmentation = label_residues(reading, options, clock, found)
        write_results(segmentation, work.directory, overwrite=True, progress=clock.progress)
        return done_of(work.task, work.directory, sha256, voxels)

    return [prepare, run, write]


def _build_steps(work: Work, clock: Clock, admit: Admit) -> list[Step]:
    settings, path = work.job.settings, work.job.path

    def run(_: object) -> Any:
        sha256 = sha256_of(path)
        build_from_files(
            path,
            work.directory,
            network_options(settings, work.device),
            clock.progress,
            sequence=settings.sequence,
            model=settings.model,
            cycles=BuildOptions.cycles if settings.cycles is None else settings.cycles,
            refine=settings.refine,
            f_label=settings.f,
            phi_label=settings.phi,
            overwrite=True,
        )
        return done_of(work.task, work.directory, sha256)

    return [run]


def _segment_summary(directory: Path) -> dict[str, object]:
    found = read_results(directory)
    confidence = [residue.confidence for residue in found.residues]
    return {
        "resolution": found.resolution,
        "residues": len(found.residues),
        "confidence": round(fmean(confidence), 4) if confidence else None,
        "spacegroup": found.spacegroup.xhm(),
        "timings": dict(found.timings),
        "warnings": list(found.warnings),
    }


def _build_summary(directory: Path) -> dict[str, object]:
    path = directory / BUILD_OUTPUT.document
    try:
        built = json.loads(path.read_text(encoding="utf-8"))
        if built["schema"] != BUILD_SCHEMA:
            raise ValueError(f"its schema is {built['schema']!r}, not {BUILD_SCHEMA!r}")
        sure = [r["docking_probability"] for r in built["residues"] if r["docking_probability"] is not None]
        return {
            "resolution": built["resolution"],
            "residues": len(built["residues"]),
            "confidence": round(fmean(sure), 4) if sure else None,
            "r_work": built["r_work"],
            "r_free": built["r_free"],
            "spacegroup": str(built["spacegroup"]),
            "timings": dict(built["timings"]),
            "warnings": list(built["warnings"]),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ResultFormatError(f"{shown(directory)} does not hold a sound model of edseg: {error}.") from error
