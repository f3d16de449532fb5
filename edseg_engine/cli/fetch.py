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
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    _add_kind(kinds, "models", "models as deposited, for edseg simulate").set_defaults(run=run_models)
    crystals = _add_kind(
        kinds, "crystals", "map coefficients and models of PDB-REDO, as the folder that --experimental takes"
    )
    crystals.add_argument(
        "--r-free", type=float, default=0.35, metavar="R", help="take those with an R-free below R (default: 0.35)"
    )
    crystals.add_argument(
        "--resolution",
        type=float,
        nargs=2,
        default=(2.0, 4.0),
        metavar=("FINEST", "COARSEST"),
        help="take those with a d_min (Å) between the two (default: 2 4)",
    )
    crystals.add_argument(
        "--test",
        type=int,
        default=50,
        metavar="N",
        help="put N each of better than 2.5 Å, 2.5-3.5 Å and worse into the split dev (default: 50)",
    )
    crystals.set_defaults(run=run_crystals)


def _add_kind(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser], name: str, content: str
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=content, description=f"Fetch {content}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="an entry, such as 1az5")
    parser.add_argument("--list", type=Path, metavar="FILE", help="text file with more entries")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    parser.add_argument("--server", metavar="URL", help="address of a mirror")
    parser.add_argument(
        "--same-as", type=Path, metavar="DIR", help="folder of an earlier fetch: files that differ from it are refused"
    )
    return parser


def run_models(args: argparse.Namespace) -> int:
    """Run the subcommand for models and return its exit code."""
    from edseg_engine.cli.console import say
    from edseg_engine.dataset.fetch import RCSB, fetch_models

    fetch_models(_names(args), args.out, say, _expected(args.same_as), args.server or RCSB)
    return 0


def run_crystals(args: argparse.Namespace) -> int:
    """Run the subcommand for crystals and return its exit code."""
    from edseg_engine.cli.console import say
    from edseg_engine.dataset.fetch import PDB_REDO, CrystalCriteria, fetch_crystals

    finest, coarsest = args.resolution
    criteria = CrystalCriteria(args.r_free, finest, coarsest, args.test)
    fetch_crystals(_names(args), args.out, say, _expected(args.same_as), criteria, args.server or PDB_REDO)
    return 0


def _names(args: argparse.Namespace) -> list[str]:
    from edseg_engine.dataset.fetch import checked_names

    return checked_names([*args.names, *(_words(args.list) if args.list else [])])


def _expected(folder: Path | None) -> dict[str, str]:
    """Return the checksums that the files of an earlier fetch have; none without one."""
    from edseg_engine.errors import OptionError
    from edseg_engine.io.names import shown
    from edseg_engine.networks.weights import read_checksums

    expected = read_checksums(folder) if folder else {}
    if folder and not expected:
        raise OptionError(f"{shown(folder)} holds no checksums of an earlier fetch.")
    return expected


def _words(path: Path) -> list[str]:
    from edseg_engine.errors import OptionError
    from edseg_engine.io.names import shown

    try:
        return path.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        raise OptionError(f"{shown(path)} cannot be read: {error.strerror}.") from error
