"""``edseg simulate``: maps of known structures as a refinement program would show them, with the truth beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edseg_engine.residues.known import KnownResidues


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "simulate",
        help="simulate maps of known structures",
        description="For each model write NAME.ccp4, the map of its crystal (or of a box around it if the file has no "
        "unit cell), and NAME-residues.csv, the residues in that map.",
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="PDB or mmCIF files")
    parser.add_argument("--resolution", type=float, metavar="D", help="d_min in Å; needed without --protocol")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the maps")
    parser.add_argument(
        "--noise-free",
        action="store_true",
        help="simulate no errors in amplitudes and phases; with --protocol there are none",
    )
    parser.add_argument(
        "--protocol",
        choices=("thesis",),
        help="make the data of the thesis: of models that meet its criteria, maps of the molecule alone at 2, 3 and "
        "4 Å (or at D), normalised as its networks read them, with windows and folds",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="seed of all random choices, of which --protocol has none (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import numpy as np

    from edseg_engine.cli.console import say
    from edseg_engine.dataset.simulate import NOISE_FREE, SimulationOptions, simulate_map
    from edseg_engine.errors import OptionError
    from edseg_engine.io.ccp4 import write_ccp4
    from edseg_engine.io.coordinates import read_model
    from edseg_engine.io.output import make_directory, output_file
    from edseg_engine.residues.known import known_residues
    from edseg_engine.resolution import range_of_resolution

    _check_names(args.models)
    if args.protocol:
        return _thesis(args)
    if args.resolution is None:
        raise OptionError("Give the resolution of the maps with --resolution.")
    range_of_resolution(args.resolution)
    options = NOISE_FREE if args.noise_free else SimulationOptions()
    for path in args.models:
        structure = read_model(path)
        name = _name(path)
        density = simulate_map(structure, args.resolution, np.random.default_rng(args.seed), options)
        residues = known_residues(structure[0])
        make_directory(args.out)
        with output_file(args.out / f"{name}.ccp4", inputs=args.models) as file:
            write_ccp4(density.values, density.grid, file)
        _write_residues(residues, args.out / f"{name}-residues.csv", args.models)
        space_group = density.spacegroup.xhm()
        say(f"{args.out / name}.ccp4: {args.resolution:g} Å, {space_group}, {len(residues.labels)} residues")
    return 0


def _thesis(args: argparse.Namespace) -> int:
    """Make the fixed-resolution data of the thesis."""
    from edseg_engine.cli.console import say
    from edseg_engine.dataset.criteria import fold_of, unmet_criterion
    from edseg_engine.dataset.thesis import SETS, thesis_map
    from edseg_engine.errors import ModelFormatError, OptionError, TrainingDataError
    from edseg_engine.io.ccp4 import write_ccp4
    from edseg_engine.io.coordinates import read_model
    from edseg_engine.io.output import make_directory, output_file
    from edseg_engine.io.result_files import write_table
    from edseg_engine.labels import TYPES
    from edseg_engine.residues.known import known_residues

    sets = [fixed for fixed in SETS if args.resolution in (None, fixed.d_min)]
    if not sets:
        raise OptionError(f"The thesis has maps at 2, 3 and 4 Å, not at {args.resolution:g} Å.")
    proteins = []
    for path in args.models:
        name = _name(path)
        try:
            structure = read_model(path)
            structure.name = name
            reason = unmet_criterion(structure)
            maps = [] if reason else [(fixed, *thesis_map(structure, fixed)) for fixed in sets]
        except ModelFormatError as error:
            reason = str(error).rstrip(".")
        if reason:
            proteins.append((name, "", "", reason))
            say(f"{name}: left out, {reason}")
            continue
        make_directory(args.out)
        numbers = []
        for fixed, density, windows in maps:
            stem = f"{name}-{fixed.d_min:g}A"
            with output_file(args.out / f"{stem}.ccp4", inputs=args.models) as file:
                write_ccp4(density.values, density.grid, file)
            with output_file(args.out / f"{stem}-windows.csv", inputs=args.models) as file:
                rows = [[*start, *counts] for start, counts in zip(windows.starts, windows.counts, strict=True)]
                write_table(file, ["x", "y", "z", *TYPES], rows)
            numbers.append(f"{len(windows.starts)} at {fixed.d_min:g} Å")
        residues = known_residues(structure[0])
        _write_residues(residues, args.out / f"{name}-residues.csv", args.models)
        proteins.append((name, str(fold_of(name)), str(len(residues.labels)), ""))
        say(f"{name}: fold {fold_of(name)}, {len(residues.labels)} residues, windows: {', '.join(numbers)}")
    if all(reason for *_, reason in proteins):
        raise TrainingDataError("None of the models meets the criteria of the thesis.")
    with output_file(args.out / "proteins.csv", inputs=args.models) as file:
        write_table(file, ["name", "fold", "residues", "left_out"], proteins)
    return 0


def _check_names(models: Sequence[Path]) -> None:
    """Raise OptionError if the files of two models would have the same names."""
    from collections import Counter

    from edseg_engine.errors import OptionError
    from edseg_engine.io.names import shown

    (name, number), *_ = Counter(map(_name, models)).most_common()
    if number > 1:
        paths = " and ".join(shown(path) for path in models if _name(path) == name)
        raise OptionError(f"The maps of {paths} would all be called {name}: simulate them into different folders.")


def _name(path: Path) -> str:
    return path.name.split(".")[0]


def _write_residues(residues: KnownResidues, path: Path, inputs: Sequence[Path]) -> None:
    from edseg_engine.io.output import output_file
    from edseg_engine.io.result_files import write_table
    from edseg_engine.labels import LABELS

    rows = [
        [residue, LABELS[label], *(f"{x:.3f}" for x in xyz)]
        for residue, label, xyz in zip(residues.names, residues.labels, residues.centroids, strict=True)
    ]
    with output_file(path, inputs=inputs) as file:
        write_table(file, ["residue", "label", "x", "y", "z"], rows)
