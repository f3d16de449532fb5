"""``edseg segment``: from a map file to a directory of results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edseg_engine.cli.arguments import columns_parser, device_parser, network_parser, output_parser, source_of
from edseg_engine.options import MOST_CYCLES, REGIONS, SegmentOptions
from edseg_engine.progress import ProgressCallback

if TYPE_CHECKING:
    from edseg_engine.results.records import Segmentation


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "segment",
        parents=[columns_parser(), network_parser(), device_parser(), output_parser("MAP's name + -edseg")],
        help="locate and label the residues of a map",
        description="Locate the residues of an electron density map and name their three most likely types.",
    )
    parser.add_argument(
        "map",
        type=Path,
        metavar="MAP",
        help="MTZ, structure-factor mmCIF, CCP4 or MRC file, plain or compressed with gzip",
    )
    parser.add_argument(
        "--resolution",
        type=float,
        metavar="D",
        help="resolution in Å; read from the file if present; map files do not store it",
    )
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        "--residues", type=int, metavar="N", help="number of residues in the region; estimated if omitted"
    )
    number.add_argument(
        "--sequence",
        type=Path,
        metavar="FILE",
        help="FASTA file with one entry per protein chain in the region; only the number of residues is used",
    )
    parser.add_argument(
        "--cycles",
        type=int,
        default=SegmentOptions.cycles,
        metavar="N",
        help=f"times that the map is read at most, 1 to {MOST_CYCLES}: before each but the first, what was found "
        "improves the phases of the amplitudes in the file, as long as the labels become surer; 6 for poor phases "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--class-maps", action="store_true", help="also write a CCP4 map of the probability of each class"
    )
    parser.add_argument(
        "--voxels",
        action="store_true",
        help="also write the voxels of each residue and the density around them, for viewers",
    )
    parser.add_argument(
        "--region",
        choices=REGIONS,
        default="auto",
        help="asymmetric unit, whole unit cell, or the box covered by the file without symmetry (default: asu for "
        "the map of a crystal, box for a map that covers less)",
    )
    parser.add_argument(
        "--box",
        type=float,
        nargs=6,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="work on this box (lowest, then highest x, y, z in Å) instead of a region",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.reporting import report
    from edseg_engine.cli.summary import summary

    directory = args.out or Path(f"{args.map.name.split('.')[0]}-edseg")
    return report(
        args.progress,
        directory,
        lambda progress: _segment(args, directory, progress),
        lambda segmentation: {
            "residues": len(segmentation.residues),
            "resolution": round(segmentation.resolution, 3),
            "region": segmentation.region,
            "warnings": segmentation.warnings,
        },
        lambda segmentation: summary(segmentation, directory),
    )


def _segment(args: argparse.Namespace, directory: Path, progress: ProgressCallback) -> Segmentation:
    """Do the work, from the input file to the written results."""
    from edseg_engine.io.reflections import read_amplitudes
    from edseg_engine.io.sequence import count_residues
    from edseg_engine.pipeline import segment
    from edseg_engine.results.files import RESULT_OUTPUT, write_results

    RESULT_OUTPUT.check(directory, args.overwrite)
    options = SegmentOptions(
        resolution=args.resolution,
        n_residues=count_residues(args.sequence) if args.sequence else args.residues,
        region=args.region,
        device=args.device,
        orientations=args.orientations,
        views=args.views,
        cycles=args.cycles,
        class_maps=args.class_maps,
        voxels=args.voxels,
        box=tuple(args.box) if args.box else None,
        weights=args.weights,
    )
    amplitudes = read_amplitudes(args.map) if options.cycles > 1 else None
    segmentation = segment(source_of(args), options, progress, amplitudes)
    write_results(segmentation, directory, overwrite=args.overwrite, progress=progress)
    return segmentation
