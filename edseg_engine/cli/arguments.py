"""Arguments that several commands share, as parents of their parsers, and what they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edseg_engine.options import DEVICES, MOST_ORIENTATIONS, MOST_VIEWS, SegmentOptions

if TYPE_CHECKING:
    from edseg_engine.crystal.density_map import DensityMap

#: Titles of groups of arguments.
_NETWORK, _OUTPUT = "running the network", "output"


def device_parser() -> argparse.ArgumentParser:
    """Return a parser of ``--device``."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument_group(_NETWORK).add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where the network runs (default: a GPU if there is one, else the CPU)",
    )
    return parser


def network_parser() -> argparse.ArgumentParser:
    """Return a parser of ``--weights``, ``--orientations`` and ``--views``."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(_NETWORK)
    group.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights file to use instead of the one for the resolution"
    )
    group.add_argument(
        "--orientations",
        type=int,
        default=SegmentOptions.orientations,
        metavar="N",
        help=f"rotations of the voxel grid to average over, 1 to {MOST_ORIENTATIONS}: more are slower and better "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--views",
        type=int,
        default=SegmentOptions.views,
        metavar="N",
        help=f"voxel grids, rotated relative to each other, to pool, 1 to {MOST_VIEWS}: more find a few more residues; "
        "each takes as long as the first, or up to 2.5 times as long (default: %(default)s)",
    )
    return parser


def columns_parser() -> argparse.ArgumentParser:
    """Return a parser of ``--f`` and ``--phi``."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("columns of reflection files")
    group.add_argument("--f", metavar="LABEL", help="column with the amplitudes of the map coefficients")
    group.add_argument("--phi", metavar="LABEL", help="column with the phases of the map coefficients")
    return parser


def source_of(args: argparse.Namespace) -> DensityMap | Path:
    """Return the file of the map or, if columns of it were named, the map made of them."""
    if not (args.f or args.phi):
        return Path(args.map)
    from edseg_engine.io.read import read_map

    return read_map(args.map, resolution=args.resolution, f_label=args.f, phi_label=args.phi)


def training_data_parser() -> argparse.ArgumentParser:
    """Return a parser of ``--structures`` and ``--experimental``, the folders of the data to train on."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("data")
    group.add_argument(
        "--structures",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with packs train*.npz and val*.npz, or with folders train and val of PDB or mmCIF files",
    )
    group.add_argument(
        "--experimental",
        type=Path,
        metavar="DIR",
        help="folder of experimental crystals, with an index.tsv that assigns them to the splits train and dev",
    )
    return parser


def progress_parser() -> argparse.ArgumentParser:
    """Return a parser of ``--progress``."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_progress(parser.add_argument_group(_OUTPUT))
    return parser


def output_parser(default: str) -> argparse.ArgumentParser:
    """Return a parser of ``--out``, ``--overwrite`` and ``--progress``.

    Parameters
    ----------
    default
        Where results go without ``--out``, in words.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(_OUTPUT)
    group.add_argument("--out", type=Path, metavar="DIR", help=f"directory for the results (default: {default})")
    group.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    _add_progress(group)
    return parser


def _add_progress(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--progress",
        choices=("auto", "json", "none"),
        default="auto",
        help="auto: bars on a terminal; json: one JSON object per line on standard output",
    )
