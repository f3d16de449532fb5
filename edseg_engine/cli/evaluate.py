"""``edseg evaluate``: compare what is found in maps with their known models."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import device_parser, network_parser

#: Keys of `edseg_engine.dataset.phases.TYPICAL`, which loads more than a parser needs.
PHASES = ("refined", "main-chain", "mr", "experimental", "modified")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "evaluate",
        parents=[network_parser(), device_parser()],
        help="compare results with known models",
        description="Segment maps whose models are known and print how many residues were found (within 3 Å of their "
        "centroid, under symmetry) and labelled correctly; missed residues count as wrong.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--map", type=Path, metavar="FILE", help="one map or reflection file; needs --model")
    source.add_argument(
        "--experimental", type=Path, metavar="DIR", help="folder of experimental crystals, with an index.tsv"
    )
    source.add_argument("--structures", type=Path, metavar="DIR", help="folder of structures to simulate maps of")
    parser.add_argument("--model", type=Path, metavar="FILE", help="PDB or mmCIF file with the model of --map")
    parser.add_argument("--split", help="split of the folder (default: dev of --experimental, val of --structures)")
    parser.add_argument(
        "--resolution",
        type=float,
        metavar="D",
        help="d_min in Å: of --map, of simulated maps, or at which experimental data are cut",
    )
    parser.add_argument(
        "--better-than", type=float, default=99.0, metavar="D", help="only experimental sets finer than D Å"
    )
    parser.add_argument(
        "--worse-than", type=float, default=0.0, metavar="D", help="only experimental sets at D Å or coarser"
    )
    parser.add_argument(
        "--phases",
        choices=PHASES,
        default="refined",
        help="phases of experimental crystals: those in the file, or phases as before the structure was solved, from a "
        "main chain, a poor search model, or an experiment before or after density modification (default: %(default)s)",
    )
    parser.add_argument(
        "--phase-error", type=float, metavar="DEG", help="mean phase error in degrees of an experiment (default: 45)"
    )
    parser.add_argument("--noise-free", action="store_true", help="simulate maps without errors, as the thesis did")
    parser.add_argument(
        "--culled", action="store_true", help="remove density farther than 3 Å from the model, as the thesis did"
    )
    parser.add_argument(
        "--alone",
        action="store_true",
        help="run the weights without the shipped network that reads beside them in a run of the product",
    )
    parser.add_argument(
        "--given-locations",
        action="store_true",
        help="name each residue of the model by the voxels around its atoms (3, 2 or 1 Å in high, medium and low "
        "resolution), as the thesis did; the only way for networks that cannot locate residues",
    )
    parser.add_argument(
        "--cycles",
        type=int,
        default=1,
        metavar="N",
        help="times that each map is read, see edseg segment --help (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N maps")
    parser.add_argument("--name", default="all", help="name of the set in the tables (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import itertools
    import json

    from rich.console import Console

    from edseg_engine.dataset.labelled import KnownMap
    from edseg_engine.devices import choose_device
    from edseg_engine.errors import OptionError
    from edseg_engine.evaluation.evaluate import MapScore, Protocol, score_maps
    from edseg_engine.evaluation.given import GivenScore, score_given
    from edseg_engine.evaluation.tables import given_summary, given_tables, summary, tables
    from edseg_engine.io.output import output_file
    from edseg_engine.networks.weights import Weights, choose_weights
    from edseg_engine.resolution import range_of_resolution

    console = Console(stderr=True)
    chosen: dict[str, Weights] = {}

    def weights_of(known: KnownMap) -> Weights:
        resolution_range = range_of_resolution(known.density.d_min or 0.0)
        if resolution_range.name not in chosen:
            chosen[resolution_range.name] = choose_weights(args.weights, resolution_range)
        return chosen[resolution_range.name]

    def report(score: MapScore | GivenScore) -> None:
        figures = (score.residues if isinstance(score, GivenScore) else score.k_given).figures()
        console.print(
            f"{score.name} {score.d_min:.2f} Å  rank-1 {figures['rank1']:.3f}  rank-3 {figures['rank3']:.3f}  "
            f"recall {figures['recall']:.3f}  {score.seconds:.1f} s",
            highlight=False,
        )

    if args.given_locations and args.cycles != 1:
        raise OptionError("--given-locations names residues in the map as it is: leave --cycles away.")
    maps = itertools.islice(_maps(args), args.limit)
    protocol = Protocol(args.orientations, args.views, args.culled, alone=args.alone, cycles=args.cycles)
    device = choose_device(args.device)
    if args.given_locations:
        given = []
        for known in maps:
            given.append(score_given(known, weights_of(known), device, protocol))
            report(given[-1])
        printed, figures = (given_tables(args.name, given), given_summary(given)) if given else ("", {})
    else:
        scores = score_maps(maps, weights_of, device, report, protocol)
        printed, figures = (tables(args.name, scores), summary(scores)) if scores else ("", {})
    if not figures:
        console.print("There are no maps to evaluate.", highlight=False)
        return 1
    print(printed)
    if args.json:
        figures = {"name": args.name, **figures, "weights": [w.info.sha256 for w in chosen.values()]}
        with output_file(args.json) as file:
            file.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _maps(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # an iterator of KnownMap, imported late
    from dataclasses import replace

    from edseg_engine.dataset.phases import TYPICAL
    from edseg_engine.dataset.simulate import NOISE_FREE, SimulationOptions
    from edseg_engine.errors import OptionError
    from edseg_engine.evaluation.maps import experimental_maps, one_map, simulated_maps

    if args.map:
        if not args.model:
            raise OptionError("--map needs --model, the file with the model of the map.")
        return iter([one_map(args.map, args.model, args.resolution, amplitudes=args.cycles > 1)])
    if args.experimental:
        quality = TYPICAL[args.phases]
        if args.phase_error is not None:
            quality = replace(quality, phase_error=args.phase_error)
        maps = experimental_maps(
            args.experimental, args.split or "dev", args.worse_than, args.better_than, args.resolution, quality
        )
        return maps if args.cycles == 1 else (known for known in maps if known.amplitudes is not None)
    if args.resolution is None:
        raise OptionError("Maps simulated from --structures need --resolution.")
    options = NOISE_FREE if args.noise_free else SimulationOptions()
    return simulated_maps(args.structures, args.split or "val", args.resolution, options)
