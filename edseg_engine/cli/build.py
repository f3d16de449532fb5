"""``edseg build``: from a map file to a refined model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edseg_engine.cli.arguments import columns_parser, device_parser, network_parser, output_parser
from edseg_engine.options import MOST_CYCLES
from edseg_engine.progress import ProgressCallback

if TYPE_CHECKING:
    from edseg_engine.building.results import BuildResult, Checks


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "build",
        parents=[columns_parser(), network_parser(), device_parser(), output_parser("MAP's name + -model")],
        help="build and refine a model of a map",
        description="Trace the chains of an electron density map, dock the sequence, build all atoms and refine them.",
    )
    parser.add_argument(
        "map",
        type=Path,
        metavar="MAP",
        help="MTZ, structure-factor mmCIF, CCP4 or MRC file, plain or compressed with gzip; amplitudes in it are "
        "refined against",
    )
    parser.add_argument(
        "--sequence",
        type=Path,
        metavar="FASTA",
        help="sequences of the protein chains; without them residues are named as they look",
    )
    parser.add_argument(
        "--residues",
        type=int,
        metavar="N",
        help="number of residues in the asymmetric unit; estimated from the sequences and the map if omitted",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="PARTIAL",
        help="PDB or mmCIF file of a known part: the new chains are put beside it, of all places that symmetry makes "
        "the same; it is neither kept nor built on",
    )
    parser.add_argument(
        "--cycles",
        type=int,
        default=MOST_CYCLES,
        metavar="N",
        help="models built at most, each into the map that follows from the one before (default: %(default)s)",
    )
    parser.add_argument("--no-refine", action="store_true", help="do not refine against the amplitudes")
    parser.add_argument("--resolution", type=float, metavar="D", help="resolution in Å; read from the file if present")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from edseg_engine.cli.reporting import report

    directory = args.out or Path(f"{args.map.name.split('.')[0]}-model")
    return report(
        args.progress,
        directory,
        lambda progress: _build(args, directory, progress),
        lambda result: {
            "residues": len(result.model.residues),
            "r_work": result.r_work,
            "r_free": result.r_free,
            "warnings": result.warnings,
        },
        lambda result: summary(result, directory),
    )


def _build(args: argparse.Namespace, directory: Path, progress: ProgressCallback) -> BuildResult:
    """Do the work, from the input file to the written results."""
    from edseg_engine.building.child import require_programs

    require_programs()

    from edseg_engine.building.files import BUILD_OUTPUT
    from edseg_engine.building.from_files import build_from_files
    from edseg_engine.options import SegmentOptions

    BUILD_OUTPUT.check(directory, args.overwrite)
    network = SegmentOptions(
        resolution=args.resolution,
        n_residues=args.residues,
        device=args.device,
        orientations=args.orientations,
        views=args.views,
        weights=args.weights,
    )
    return build_from_files(
        args.map,
        directory,
        network,
        progress,
        sequence=args.sequence,
        model=args.model,
        cycles=args.cycles,
        refine=not args.no_refine,
        f_label=args.f,
        phi_label=args.phi,
        overwrite=args.overwrite,
    )


def summary(result: BuildResult, directory: Path) -> str:
    """Return lines that say what was built, how well it fits, and where the files lie."""
    from edseg_engine.cli.summary import map_row

    model, checks = result.model, result.checks
    length = sum(map(len, model.sequences.values()))
    rows = [("Residues", f"{len(model.residues)} of {length} in {len(model.sequences)} chain(s)")]
    if result.undocked:
        left = sum(map(len, result.undocked))
        inside = len(result.model.unplaced)
        rows.append(
            ("Not docked", f"{left} residues in {len(result.undocked)} fragments; {inside} as alanines in the model")
        )
    if result.r_free is not None:
        rows.append(("R / R-free", f"{result.r_work:.3f} / {result.r_free:.3f}"))
        by_cycle = "  ".join(f"{cycle.r_free:.3f}" for cycle in result.cycles if cycle.r_free is not None)
        rows.append(("R-free by cycle", f"{by_cycle}  (cycle {result.best + 1} kept)"))
    rows += [
        ("Waters", str(result.n_waters)),
        *(_shapes(checks) if checks.n_clashes is not None else ()),
        *map_row(result.source),
        *((("Resolution", f"{result.resolution:.2f} Å"),) if result.resolution else ()),
        (
            "Time",
            f"{sum(result.timings.values()):.0f} s "
            f"({', '.join(f'{stage} {seconds:.0f}' for stage, seconds in result.timings.items())})",
        ),
        *(("Warning", warning) for warning in result.warnings),
        ("Results", str(directory)),
    ]
    return "\n".join(f"{name:<17}{text}" for name, text in rows)


def _shapes(checks: Checks) -> list[tuple[str, str]]:
    return [
        ("Ramachandran", _outliers(checks.n_ramachandran_outliers, len(checks.ramachandran))),
        ("Rotamers", _outliers(checks.n_rotamer_outliers, len(checks.rotamer))),
        ("Clashes", str(checks.n_clashes)),
    ]


def _outliers(number: int, total: int) -> str:
    return f"{number} outliers of {total} ({number / max(1, total):.1%})"
