"""``edseg throughput``: how many windows a training run sees in a second, and why."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "throughput",
        help="measure the speed of training",
        description="Time a training step in several forms, side by side, and the making of windows.",
    )
    parser.add_argument("--structures", type=Path, required=True, help="folder of structures, as for edseg train")
    parser.add_argument("--experimental", type=Path, help="folder of experimental crystals, as for edseg train")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"), help="auto: a GPU if there is one")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out the compiled form, which needs a C++ compiler"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import sys

    import torch

    from edseg_engine.devices import choose_device
    from edseg_engine.resolution import range_by_name
    from tools.training_speed import VARIANTS, measure_throughput
    from edseg_engine.training.windows import DataOptions

    torch.set_num_threads(args.threads)
    result = measure_throughput(
        DataOptions(args.structures, args.experimental),
        range_by_name("high"),
        choose_device(args.device),
        lambda text: print(text, file=sys.stderr, flush=True),
        tuple(v for v in VARIANTS if not (v.compiled and args.no_compile)),
    )
    plain = result.windows_per_second[VARIANTS[0].name]
    print("| step | windows / s | ratio | share of the peak |")
    print("| --- | ---: | ---: | ---: |")
    for name, speed in result.windows_per_second.items():
        share = speed * result.flops_per_window / result.peak
        print(f"| {name} | {speed:.2f} | {speed / plain:.2f} | {share:.0%} |")
    print()
    print(
        f"A window costs {result.flops_per_window / 1e9:.0f} GFLOP; the peak, a bfloat16 matrix product, is "
        f"{result.peak / 1e9:.0f} GFLOP/s. A worker makes {result.made_per_second:.1f} windows / s."
    )
    return 0
