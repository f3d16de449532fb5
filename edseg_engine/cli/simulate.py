"""``edseg simulate``: maps of known structures as a refinement program would show them, with the truth beside them."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "simulate",
        help="simulate maps of known structures",
        description="For each model write NAME.ccp4, the map of its crystal (or of a box around it if the file has no "
        "unit cell), and NAME-residues.csv, the residues in that map.",
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="PDB or mmCIF files")
    parser.add_argument("--resolution", type=float, required=True, metavar="D", help="d_min in Å")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the maps")
    parser.add_argument("--noise-free", action="store_true", help="simulate no errors in amplitudes and phases")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import csv

    import numpy as np

    from edseg_engine.cli.console import say
    from edseg_engine.dataset.simulate import NOISE_FREE, SimulationOptions, simulate_map
    from edseg_engine.errors import OutputError
    from edseg_engine.io.ccp4 import write_ccp4
    from edseg_engine.io.coordinates import read_model
    from edseg_engine.io.output import output_file
    from edseg_engine.labels import LABELS
    from edseg_engine.residues.known import known_residues
    from edseg_engine.resolution import range_of_resolution

    range_of_resolution(args.resolution)
    options = NOISE_FREE if args.noise_free else SimulationOptions()
    for path in args.models:
        structure = read_model(path)
        name = path.name.split(".")[0]
        density = simulate_map(structure, args.resolution, np.random.default_rng(args.seed), options)
        residues = known_residues(structure[0])
        try:
            args.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot make the directory {args.out}: {error.strerror}.") from error
        with output_file(args.out / f"{name}.ccp4", inputs=args.models) as file:
            write_ccp4(density.values, density.grid, file)
        with (
            output_file(args.out / f"{name}-residues.csv", inputs=args.models) as file,
            file.open("w", newline="", encoding="utf-8") as table,
        ):
            writer = csv.writer(table)
            writer.writerow(["residue", "label", "x", "y", "z"])
            for residue, label, xyz in zip(residues.names, residues.labels, residues.centroids, strict=True):
                writer.writerow([residue, LABELS[label], *(f"{x:.3f}" for x in xyz)])
        space_group = density.spacegroup.xhm()
        say(f"{args.out / name}.ccp4: {args.resolution:g} Å, {space_group}, {len(residues.labels)} residues")
    return 0
