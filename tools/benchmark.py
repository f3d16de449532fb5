"""Time and memory, as ratios measured side by side in one run: ``python -m tools.benchmark``."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from edseg_engine.errors import ResolutionError
from edseg_engine.io.read import read_map
from edseg_engine.networks.weights import choose_weights
from edseg_engine.options import SegmentOptions
from edseg_engine.resolution import range_of_resolution
from tools import timing
from tools.command import run_tool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.benchmark",
        description="Without options: time this pipeline against a plain reading of the thesis's on the first map, "
        "with the same network. With --averaging, --sizes or --cube: time, or time and memory, of whole runs.",
    )
    parser.add_argument("maps", type=Path, nargs="+", metavar="MAP", help="map or reflection files")
    parser.add_argument("--residues", type=int, default=480, help="K for the comparison (default: %(default)s)")
    parser.add_argument("--resolution", type=float, help="d_min in Å; read from the file if present")
    parser.add_argument("--averaging", action="store_true", help="time orientations and views of the first map")
    parser.add_argument("--sizes", action="store_true", help="measure the asymmetric unit and the cell of each map")
    parser.add_argument(
        "--cube", type=float, nargs="+", metavar="EDGE", help="measure cubes of EDGE Å filled with the first map"
    )
    parser.add_argument(
        "--orientations",
        type=int,
        default=SegmentOptions.orientations,
        metavar="N",
        help="of --sizes and --cube (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Measure what was asked for and print it."""
    console = Console(highlight=False, width=110)
    torch.set_num_threads(args.threads)

    def print_size(path: Path, region: str, resolution: float | None) -> None:
        options = SegmentOptions(resolution=resolution, region=region, orientations=args.orientations)
        size = timing.measure_size(path, options, args.threads)
        console.print(
            f"| {path.parent.name}/{path.name} | {size.region} | {size.residues} | {size.seconds:.1f} | "
            f"{1000 * size.seconds / max(1, size.residues):.1f} | {size.peak_memory / 1e6:.0f} | "
            f"{size.ceiling / 1e6:.0f} |"
        )

    if args.sizes or args.cube:
        console.print("| map | region | residues | seconds | s / 1000 residues | peak memory (MB) | ceiling (MB) |")
        console.print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    if args.sizes:
        for path, region in itertools.product(args.maps, ("asu", "cell")):
            print_size(path, region, args.resolution)
        return
    density = read_map(args.maps[0], resolution=args.resolution)
    if density.d_min is None:
        raise ResolutionError(f"{args.maps[0]} does not store its resolution; give it with --resolution.")
    if args.cube:
        for edge in args.cube:
            with tempfile.TemporaryDirectory() as folder:
                cube = Path(folder) / f"cube-{edge:g}.ccp4"
                timing.write_cube(density, edge, 1.0, cube)
                print_size(cube, "box", density.d_min)
        return
    if args.averaging:
        times = timing.averaging_times(density)
        console.print("| orientations | views | seconds | ratio |")
        console.print("| ---: | ---: | ---: | ---: |")
        for (n_orientations, n_views), seconds in zip(timing.AVERAGING, times, strict=True):
            console.print(f"| {n_orientations} | {n_views} | {seconds:.1f} | {seconds / times[0]:.1f} |")
        return
    weights = choose_weights(None, range_of_resolution(density.d_min))
    result = timing.compare(density, args.residues, weights)
    console.print(f"{args.maps[0]}, {args.residues} residues, {args.threads} threads, network {weights.info.name}")
    for name, (ours, baseline) in {"network": result.network, "instances": result.instances}.items():
        console.print(f"{name:10s} {ours:7.2f} s   plain {baseline:7.2f} s   ratio {baseline / ours:5.1f}")
    console.print(f"together   {result.speed_up:.1f} times faster")
    console.print(
        f"voxels of residues with the same class {result.same_voxel_class:.3f}, votes apart "
        f"{result.vote_distance:.2f} Å (median); residues at the same place (1 Å) {result.same_place:.3f}, "
        f"of these with the same label {result.same_label:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
