"""``edseg fetch``: models and crystals from the databases, to train on and to judge with."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch models of the PDB, or crystals of PDB-REDO to train on",
        description="Fetch entries by name. What is there already, as its checksum says, is not fetched again.",
    )
    parser.add_argument(
        "kind",
        choices=("models", "crystals"),
        help="models: as deposited, for edseg simulate; crystals: map coefficients and models of PDB-REDO, as the "
        "folder that --experimental takes",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="an entry, such as 1az5")
    parser.add_argument("--list", type=Path, metavar="FILE", help="text file with more entries")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    parser.add_argument("--server", metavar="URL", help="address of a mirror")
    parser.add_argument(
        "--same-as", type=Path, metavar="DIR", help="folder of an earlier fetch: files that differ from it are refused"
    )
    group = parser.add_argument_group("which crystals are taken")
    group.add_argument(
        "--r-free", type=float, default=0.35, metavar="R", help="those with an R-free below R (default: %(default)s)"
    )
    group.add_argument(
        "--resolution",
        type=float,
        nargs=2,
        default=(2.0, 4.0),
        metavar=("FINEST", "COARSEST"),
        help="those with a d_min (Å) between the two (default: 2 4)",
    )
    group.add_argument(
        "--test",
        type=int,
        default=50,
        metavar="N",
        help="put N each of better than 2.5 Å, 2.5-3.5 Å and worse into the split dev (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.console import say
    from edseg_engine.dataset.fetch import (
        PDB_REDO,
        RCSB,
        CrystalCriteria,
        checked_names,
        fetch_crystals,
        fetch_models,
    )
    from edseg_engine.errors import OptionError
    from edseg_engine.io.names import shown
    from edseg_engine.networks.weights import read_checksums

    listed = _words(args.list) if args.list else []
    names = checked_names([*args.names, *listed])
    expected = read_checksums(args.same_as) if args.same_as else {}
    if args.same_as and not expected:
        raise OptionError(f"{shown(args.same_as)} holds no checksums of an earlier fetch.")
    if args.kind == "models":
        fetch_models(names, args.out, say, expected, args.server or RCSB)
    else:
        finest, coarsest = args.resolution
        criteria = CrystalCriteria(args.r_free, finest, coarsest, args.test)
        fetch_crystals(names, args.out, say, expected, criteria, args.server or PDB_REDO)
    return 0


def _words(path: Path) -> list[str]:
    from edseg_engine.errors import OptionError
    from edseg_engine.io.names import shown

    try:
        return path.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        raise OptionError(f"{shown(path)} cannot be read: {error.strerror}.") from error
