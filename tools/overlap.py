"""What it gains to prepare a map while the network runs on another: ``python -m tools.overlap``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edseg_engine.batch.journal_file import read_journal
from edseg_engine.batch.records import Done
from edseg_engine.batch.run import BatchOptions, run_batch
from edseg_engine.batch.settings import MapSettings
from edseg_engine.options import DEVICES, SegmentOptions
from tools.command import run_tool


@dataclass(frozen=True)
class Run:
    """Seconds of a batch, and of them those in which the network was at work."""

    seconds: float
    network: float


def measure(path: Path, copies: int, overlap: bool, device: str, orientations: int) -> Run:
    """Segment a map `copies` times in one batch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = folder / "maps.csv"
        rows = (f'"{path.absolute()}",copy-{number}' for number in range(copies))
        manifest.write_text("\n".join(["path,name", *rows]))
        options = BatchOptions(settings=MapSettings(orientations=orientations), device=device, overlap=overlap)
        start = time.perf_counter()
        result = run_batch([manifest], folder / "out", options)
        seconds = time.perf_counter() - start
        assert result.done == copies
        with read_journal(folder / "out") as journal:
            timings = [e.result.summary["timings"] for e in journal.entries() if isinstance(e.result, Done)]
        return Run(seconds, sum(each["network"] for each in timings if isinstance(each, Mapping)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.overlap",
        description="Segment a map many times, one at a time and overlapping, in turns; print seconds a map and how "
        "much of the time the network was at work.",
    )
    parser.add_argument("map", type=Path, metavar="MAP")
    parser.add_argument("--copies", type=int, default=8, metavar="N", help="maps in a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="turns (default: %(default)s)")
    parser.add_argument("--orientations", type=int, default=SegmentOptions.orientations, metavar="N")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    measure(args.map, 1, False, args.device, args.orientations)  # warm-up
    print("| maps | seconds a map | network at work |\n|---|---:|---:|")
    for _ in range(args.rounds):
        for title, overlap in (("one at a time", False), ("overlapping", True)):
            run = measure(args.map, args.copies, overlap, args.device, args.orientations)
            print(f"| {title} | {run.seconds / args.copies:.2f} | {run.network / run.seconds:.0%} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
