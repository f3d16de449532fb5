"""``edseg report``: the page of a batch."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "report",
        help="show a batch as a page for browsers",
        description="Write the maps of a batch, finished or not, as one HTML file that needs no network.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="output directory of edseg batch")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: DIR/report.html)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.console import say
    from edseg_engine.io.names import shown
    from edseg_engine.report.page import write_report

    say(shown(write_report(args.directory, args.out)))
    return 0
