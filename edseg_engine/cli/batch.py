"""``edseg batch``: many maps in one run that can be stopped, killed and started again."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edseg_engine.cli.arguments import columns_parser, device_parser, network_parser, progress_parser
from edseg_engine.options import REGIONS

if TYPE_CHECKING:
    from edseg_engine.batch.run import BatchOptions, BatchResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "batch",
        parents=[columns_parser(), network_parser(), device_parser(), progress_parser()],
        help="segment or build many maps",
        description="Segment, or build models of, many maps. Started again with the same output directory, it goes on "
        "where it was stopped, by Ctrl-C (which finishes the maps at work; a second one stops at once) or otherwise. "
        "The exit code is 0 if all maps have a result, 15 if some have, and 16 if none has.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="map, folder of maps, pattern in quotes, or manifest (.csv or .jsonl) with a line for each map: its path, "
        "and what differs from the options given here",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory for the journal and results")
    parser.add_argument(
        "--task", choices=("segment", "build"), default="segment", help="what to do with each map (default: segment)"
    )
    parser.add_argument("--resolution", type=float, metavar="D", help="resolution in Å of all maps")
    parser.add_argument(
        "--sequence", type=Path, metavar="FASTA", help="sequences of the protein chains, the same for all maps"
    )
    parser.add_argument(
        "--cycles", type=int, metavar="N", help="see edseg segment --help, or edseg build --help for the task build"
    )
    segmenting = parser.add_argument_group("segmenting")
    segmenting.add_argument("--region", choices=REGIONS, default="auto", help="see edseg segment --help")
    segmenting.add_argument("--class-maps", action="store_true", help="also write a CCP4 map of each class")
    segmenting.add_argument("--voxels", action="store_true", help="also write the voxels of each residue")
    building = parser.add_argument_group("building")
    building.add_argument("--no-refine", action="store_true", help="do not refine against the amplitudes")
    running = parser.add_argument_group("running the batch")
    running.add_argument("--retry-failed", action="store_true", help="try maps again that failed before")
    running.add_argument(
        "--dry-run", action="store_true", help="do nothing; say what is to be done, and about how long it takes"
    )
    running.add_argument(
        "--memory", type=float, metavar="GB", help="most memory of all maps at work (default: what is free)"
    )
    running.add_argument(
        "--one-at-a-time", action="store_true", help="do not prepare a map while the network runs on another"
    )
    machines = parser.add_argument_group("many machines (extra dask)")
    machines.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler (tcp://host:8786) whose workers see the same files; local starts workers on "
        "this machine, slurm starts them as jobs, as the configuration of dask-jobqueue says",
    )
    machines.add_argument(
        "--workers", type=int, default=1, metavar="N", help="how many workers to start (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.batch.run import run_batch
    from edseg_engine.cli.batch_progress import shown_progress
    from edseg_engine.cli.console import complain, say
    from edseg_engine.cli.progress import json_line
    from edseg_engine.cli.reporting import error_event
    from edseg_engine.errors import Cancelled, NoMapWorked, SomeMapsFailed
    from edseg_engine.io.names import shown

    if args.dry_run:
        return _dry_run(args)
    with error_event() if args.progress == "json" else nullcontext():
        try:
            with shown_progress(args.progress) as progress, _interrupts(complain) as stop:
                result = run_batch(args.inputs, args.out, _options(args), progress, stop)
        except KeyboardInterrupt:
            raise Cancelled("Stopped. Start the same command again to go on.") from None
    if args.progress == "json":
        directory = shown(args.out.resolve())
        say(json_line("result", directory=directory, done=result.done, failed=result.failed, left=result.left))
    else:
        say(summary(result, args.out))
    if result.left:
        raise Cancelled(f"Stopped; {result.left} maps are left to do. Start the same command again to go on.")
    if result.failed:
        kind = SomeMapsFailed if result.done else NoMapWorked
        raise kind(
            f"{result.failed} of {result.total} maps failed; edseg report {shown(args.out)} shows why, and "
            "--retry-failed tries them again."
        )
    return 0


def _options(args: argparse.Namespace) -> BatchOptions:
    from edseg_engine.batch.run import BatchOptions
    from edseg_engine.batch.settings import MapSettings

    settings = MapSettings(
        resolution=args.resolution,
        sequence=args.sequence,
        f=args.f,
        phi=args.phi,
        orientations=args.orientations,
        views=args.views,
        weights=args.weights,
        region=args.region,
        class_maps=args.class_maps,
        voxels=args.voxels,
        cycles=args.cycles,
        refine=not args.no_refine,
    )
    return BatchOptions(
        task=args.task,
        settings=settings,
        device=args.device,
        retry_failed=args.retry_failed,
        memory=None if args.memory is None else args.memory * 1e9,
        overlap=not args.one_at_a_time,
        scheduler=args.scheduler,
        workers=args.workers,
    )


def _dry_run(args: argparse.Namespace) -> int:
    from edseg_engine.batch.estimate import estimate_batch
    from edseg_engine.cli.batch_progress import estimate_table
    from edseg_engine.cli.reporting import report

    return report(
        args.progress,
        args.out,
        lambda progress: estimate_batch(args.inputs, args.out, _options(args), progress),
        asdict,
        estimate_table,
    )


@contextmanager
def _interrupts(complain: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed; pressed again, it stops everything."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield asked.is_set
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        complain("Finishing the maps at work; press Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield asked.is_set
    finally:
        with suppress(TypeError):  # a handler that was not set from Python
            signal.signal(signal.SIGINT, before)


def summary(result: BatchResult, directory: Path) -> str:
    """Return lines that say how many maps have a result, and where."""
    from edseg_engine.io.names import shown

    rows = [("Maps", str(result.total)), ("Done", str(result.done)), ("Failed", str(result.failed))]
    rows += [("Left", str(result.left))] if result.left else []
    rows.append(("Results", shown(directory)))
    return "\n".join(f"{name:<17}{text}" for name, text in rows)
