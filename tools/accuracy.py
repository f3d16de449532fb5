"""Measure everything that ``docs/accuracy.md`` says: ``python -m tools.accuracy``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from edseg_engine.cli.arguments import device_parser
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.devices import choose_device
from edseg_engine.errors import OutputError
from edseg_engine.networks.weights import Weights, choose_weights
from edseg_engine.resolution import ResolutionRange, range_of_resolution
from tools.accuracy_page import write_page
from tools.command import run_tool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.accuracy",
        parents=[device_parser()],
        description="Run the shipped weights on all sets of maps with known models and write the page.",
    )
    parser.add_argument("--structures", type=Path, required=True, help="folder with the split val")
    parser.add_argument("--experimental", type=Path, required=True, help="folder with the split dev")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Write the page and, beside it, its picture ``reliability.png``."""

    @cache
    def shipped(resolution_range: ResolutionRange) -> Weights:
        return choose_weights(None, resolution_range)

    def choose(known: KnownMap) -> Weights:
        return shipped(range_of_resolution(known.density.d_min or 0.0))

    command = f"python -m tools.accuracy --structures STRUCTURES --experimental EXPERIMENTAL --out docs/{args.out.name}"
    try:
        page = write_page(
            args.structures,
            args.experimental,
            choose,
            choose_device(args.device),
            command,
            lambda text: print(text, flush=True),
            args.out.with_name("reliability.png"),
        )
        args.out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{args.out} cannot be written ({error.strerror or error}).") from error


if __name__ == "__main__":
    sys.exit(main())
