"""``edseg check``: what a map says about a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from edseg_engine.cli.arguments import columns_parser, device_parser, network_parser, output_parser, source_of

if TYPE_CHECKING:
    from edseg_engine.checking.check import ModelCheck
    from edseg_engine.progress import ProgressCallback

#: So many doubtful residues are listed; the files have all.
_LISTED = 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "check",
        parents=[columns_parser(), network_parser(), device_parser(), output_parser("MODEL's name + -check")],
        help="check the residue types and the register of a model against a map",
        description="Report how probable the type of each residue of a model is in an electron density map, and "
        "which stretches fit better when their sequence is shifted by one to five residues.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="PDB or mmCIF file, plain or compressed with gzip")
    parser.add_argument(
        "map", type=Path, metavar="MAP", help="MTZ, structure-factor mmCIF, CCP4 or MRC file, in which the model lies"
    )
    parser.add_argument("--resolution", type=float, metavar="D", help="resolution in Å; read from the file if present")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.reporting import report

    directory = args.out or Path(f"{args.model.name.split('.')[0]}-check")
    return report(
        args.progress,
        directory,
        lambda progress: _check(args, directory, progress),
        lambda result: {
            "residues": len(result.residues),
            "shifts": len(result.shifts),
            "doubtful": sum(residue.doubtful for residue in result.residues),
            "resolution": round(result.resolution, 3),
            "warnings": result.warnings,
        },
        lambda result: summary(result, directory),
    )


def _check(args: argparse.Namespace, directory: Path, progress: ProgressCallback) -> ModelCheck:
    """Do the work, from the input files to the written results."""
    from edseg_engine.checking.check import check
    from edseg_engine.checking.files import CHECK_OUTPUT, write_check
    from edseg_engine.options import SegmentOptions

    CHECK_OUTPUT.check(directory, args.overwrite)
    options = SegmentOptions(
        resolution=args.resolution,
        device=args.device,
        orientations=args.orientations,
        views=args.views,
        weights=args.weights,
    )
    result = check(args.model, source_of(args), options, progress)
    write_check(result, directory, overwrite=args.overwrite, progress=progress)
    return result


def summary(result: ModelCheck, directory: Path) -> str:
    """Return lines that say what disagrees with the map, and where the files lie."""
    from edseg_engine.io.names import shown
    from edseg_engine.labels import LABELS

    residues = result.residues
    own = [residue.own for residue in residues if residue.own is not None]
    doubtful = [residue for residue in residues if residue.doubtful and not residue.shift]
    rows = [("Residues", f"{len(residues)}, {len(own)} of them in density")]
    if own:
        rows.append(("Own type", f"mean probability {fmean(own):.2f}"))
    rows.append(("Register shifts", str(len(result.shifts)) if result.shifts else "none found"))
    for shift in result.shifts:
        first, last = shift.first, shift.last
        rows.append(
            (
                "",
                f"{shown(first.chain)} {first.number} to {last.number}: built {shift.built}, fits {shift.fitting} "
                f"({shift.by:+d}, evidence {shift.evidence:.0f})",
            )
        )
    rows.append(("Doubtful types", str(len(doubtful)) if doubtful else "none"))
    for residue in doubtful[:_LISTED]:
        name, p = residue.name, residue.probabilities or ()
        likeliest = LABELS[residue.likeliest or 0]
        rows.append(("", f"{shown(name.chain)} {name.type} {name.number}: looks like {likeliest} ({max(p):.2f})"))
    if len(doubtful) > _LISTED:
        rows.append(("", f"and {len(doubtful) - _LISTED} more, see residues.csv"))
    rows += [
        ("Resolution", f"{result.resolution:.2f} Å"),
        ("Weights", f"{shown(result.weights.name)}, sha256 {result.weights.sha256[:12]}"),
        ("Time", f"{sum(result.timings.values()):.1f} s"),
        *(("Warning", warning) for warning in result.warnings),
        ("Results", shown(directory)),
    ]
    return "\n".join(f"{name:<17}{text}" for name, text in rows)
