"""``edseg convert``: from reflections, or any map, to a CCP4 map of the whole cell."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import columns_parser


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "convert",
        parents=[columns_parser()],
        help="write the density of reflections as a CCP4 map",
        description="Write the density that edseg reads from a file as a CCP4 map, for programs that cannot read "
        "reflections.",
    )
    parser.add_argument(
        "input",
        type=Path,
        metavar="FILE",
        help="MTZ, structure-factor mmCIF, CCP4 or MRC file, plain or compressed with gzip",
    )
    parser.add_argument("output", type=Path, metavar="MAP", help="CCP4 file to write; replaced if it exists")
    parser.add_argument("--resolution", type=float, metavar="D", help="leave out reflections finer than D Å")
    parser.add_argument(
        "--progress", choices=("none", "json"), default="none", help="json: report the result as a JSON line"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.console import complain, say
    from edseg_engine.cli.progress import json_line
    from edseg_engine.io.ccp4 import write_ccp4
    from edseg_engine.io.names import shown
    from edseg_engine.io.output import output_file
    from edseg_engine.io.read import read_map

    with output_file(args.output, inputs=[args.input]) as file:
        density = read_map(args.input, resolution=args.resolution, f_label=args.f, phi_label=args.phi)
        write_ccp4(density.values, density.grid, file)
    for warning in density.warnings:
        complain(f"warning: {warning}")
    if args.progress == "json":
        output = shown(args.output.resolve())
        say(json_line("result", map=output, resolution=density.d_min, source=dict(density.source)))
    else:
        resolution = "unknown" if density.d_min is None else f"{density.d_min:.2f} Å"
        say(f"{args.output}: {density.spacegroup.xhm()}, resolution {resolution}")
    return 0
