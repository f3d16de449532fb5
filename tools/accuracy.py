"""``edseg accuracy``: measure everything that ``docs/accuracy.md`` says."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "accuracy",
        help="measure the accuracy page of the documentation",
        description="Run the shipped weights on all sets of maps with known models and write the page.",
    )
    parser.add_argument("--structures", type=Path, required=True, help="folder with the split 'val'")
    parser.add_argument("--experimental", type=Path, required=True, help="folder with the split 'dev'")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from functools import cache

    from edseg_engine.devices import choose_device
    from edseg_engine.errors import OutputError
    from edseg_engine.evaluation.evaluate import KnownMap
    from tools.accuracy_page import write_page
    from edseg_engine.networks.weights import Weights
    from edseg_engine.pipeline import choose_weights
    from edseg_engine.resolution import ResolutionRange, range_of_resolution

    @cache
    def shipped(resolution_range: ResolutionRange) -> Weights:
        return choose_weights(None, resolution_range)

    def choose(known: KnownMap) -> Weights:
        return shipped(range_of_resolution(known.density.d_min or 0.0))

    command = f"edseg accuracy --structures STRUCTURES --experimental EXPERIMENTAL --out docs/{args.out.name}"
    device = choose_device(args.device)
    try:
        page = write_page(
            args.structures,
            args.experimental,
            choose,
            device,
            command,
            lambda text: print(text, flush=True),
            args.out.with_name("reliability.png"),
        )
        args.out.write_text(page)
    except OSError as error:
        raise OutputError(f"{args.out} cannot be written ({error.strerror or error}).") from error
    return 0
