"""``edseg identify``: which protein of a database is in a map."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edseg_engine.cli.arguments import columns_parser, device_parser, network_parser, output_parser, source_of

if TYPE_CHECKING:
    from edseg_engine.building.identify import Identification
    from edseg_engine.progress import ProgressCallback

#: So many candidates are printed; the files have more.
_LISTED = 10
#: A best hit that chance gives more often than this is no identification.
_CONVINCING = 1e-3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "identify",
        parents=[columns_parser(), network_parser(), device_parser(), output_parser("MAP's name + -identify")],
        help="find the protein of a map in a database of sequences",
        description="Trace the chains of an electron density map and search a database for sequences that fit them.",
    )
    parser.add_argument(
        "map",
        type=Path,
        metavar="MAP",
        help="MTZ, structure-factor mmCIF, CCP4 or MRC file, plain or compressed with gzip",
    )
    parser.add_argument(
        "--database", type=Path, required=True, metavar="FASTA", help="protein sequences, plain or compressed with gzip"
    )
    parser.add_argument("--resolution", type=float, metavar="D", help="resolution in Å; read from the file if present")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.reporting import report

    directory = args.out or Path(f"{args.map.name.split('.')[0]}-identify")
    return report(
        args.progress,
        directory,
        lambda progress: _identify(args, directory, progress),
        lambda result: {
            "sequences": result.search.n_sequences,
            "fragments": len(result.search.fragments),
            "best": result.search.candidates[0].name if result.search.candidates else None,
            "e_value": result.search.candidates[0].e_value if result.search.candidates else None,
            "resolution": round(result.resolution, 3),
            "warnings": result.warnings,
        },
        lambda result: summary(result, directory),
    )


def _identify(args: argparse.Namespace, directory: Path, progress: ProgressCallback) -> Identification:
    """Do the work, from the map to the written results."""
    from edseg_engine.building.identify import identify
    from edseg_engine.building.identify_files import IDENTIFY_OUTPUT, write_identify
    from edseg_engine.options import SegmentOptions

    IDENTIFY_OUTPUT.check(directory, args.overwrite)
    options = SegmentOptions(
        resolution=args.resolution,
        device=args.device,
        orientations=args.orientations,
        views=args.views,
        weights=args.weights,
    )
    result = identify(source_of(args), args.database, options, progress)
    write_identify(result, directory, overwrite=args.overwrite, progress=progress)
    return result


def summary(result: Identification, directory: Path) -> str:
    """Return lines that say which sequences fit, and where the files lie."""
    from edseg_engine.io.names import shown

    search = result.search
    lengths = ", ".join(map(str, search.fragments))
    lines = [
        f"{'Fragments':<17}{lengths} residues",
        f"{'Database':<17}{search.n_sequences} sequences",
        f"{'Resolution':<17}{result.resolution:.2f} Å",
        f"{'Weights':<17}{shown(result.weights.name)}, sha256 {result.weights.sha256[:12]}",
        f"{'Time':<17}{sum(result.timings.values()):.1f} s",
        *(f"{'Warning':<17}{warning}" for warning in result.warnings),
    ]
    if search.candidates:
        lines += ["", f"{'score':>8} {'E-value':>9} {'covered':>11}  sequence"]
    for candidate in search.candidates[:_LISTED]:
        covered = f"{candidate.covered}/{len(candidate.sequence)}"
        title = shown(f"{candidate.name} {candidate.description}").strip()[:60]
        lines.append(f"{candidate.score:8.1f} {candidate.e_value:9.1g} {covered:>11}  {title}")
    if not search.candidates or search.candidates[0].e_value > _CONVINCING:
        lines += ["", f"{'Warning':<17}No sequence fits convincingly: the protein may not be in the database."]
    return "\n".join([*lines, f"{'Results':<17}{shown(directory)}"])
