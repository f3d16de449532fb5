"""``edseg evaluate``: compare what is found in maps with their known models."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="compare with known models",
        description="Run maps whose models are known and print how many residues were found (within 3 Å of their "
        "centroid, under symmetry) and labelled right; missed residues count as wrong.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--map", type=Path, help="one map or reflection file, together with --model")
    source.add_argument("--experimental", type=Path, help="folder of experimental crystals with an index.tsv")
    source.add_argument("--structures", type=Path, help="folder of structure packs, from which maps are simulated")
    parser.add_argument("--model", type=Path, help="PDB or mmCIF file of the model that is in --map")
    parser.add_argument("--split", help="split of the folder (default: dev of --experimental, val of --structures)")
    parser.add_argument(
        "--resolution", type=float, help="d_min in Å: of --map, of simulated maps, or where experimental data are cut"
    )
    parser.add_argument("--better-than", type=float, default=99.0, help="only experimental sets finer than this (Å)")
    parser.add_argument("--worse-than", type=float, default=0.0, help="only experimental sets not finer than this (Å)")
    parser.add_argument("--noise-free", action="store_true", help="simulate without any errors (as the thesis did)")
    parser.add_argument("--culled", action="store_true", help="remove density 3 Å from the model (as the thesis did)")
    parser.add_argument("--orientations", type=int, default=4, help="rotations of the grid to average, 1 to 24")
    parser.add_argument("--views", type=int, default=1, help="turned voxel grids to pool, 1 to 12")
    parser.add_argument("--weights", type=Path, help="weights file in place of the shipped ones")
    parser.add_argument("--limit", type=int, help="only the first so many maps")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--name", default="all", help="name of the set in the tables")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import itertools
    import json

    from rich.console import Console

    from edseg_engine.devices import choose_device
    from edseg_engine.evaluation.evaluate import KnownMap, MapScore, Protocol, score_maps
    from edseg_engine.evaluation.tables import class_table, map_table, summary, summary_table
    from edseg_engine.networks.weights import Weights
    from edseg_engine.pipeline import choose_weights
    from edseg_engine.resolution import range_of_resolution

    console = Console(stderr=True)
    chosen: dict[str, Weights] = {}

    def weights_of(known: KnownMap) -> Weights:
        resolution_range = range_of_resolution(known.density.d_min or 0.0)
        if resolution_range.name not in chosen:
            chosen[resolution_range.name] = choose_weights(args.weights, resolution_range)
        return chosen[resolution_range.name]

    def report(score: MapScore) -> None:
        figures = score.k_given.figures()
        console.print(
            f"{score.name} {score.d_min:.2f} Å  rank-1 {figures['rank1']:.3f}  rank-3 {figures['rank3']:.3f}  "
            f"recall {figures['recall']:.3f}  {score.seconds:.1f} s",
            highlight=False,
        )

    maps = itertools.islice(_maps(args), args.limit)
    scores = score_maps(
        maps, weights_of, choose_device(args.device), report, Protocol(args.orientations, args.views, args.culled)
    )
    if not scores:
        console.print("There is no map to evaluate.", highlight=False)
        return 1
    print("\n".join([summary_table([(args.name, scores)]), map_table(scores), class_table(scores)]))
    if args.json:
        figures = {"name": args.name, **summary(scores), "weights": [w.info.sha256 for w in chosen.values()]}
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _maps(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # an iterator of KnownMap, imported late
    from edseg_engine.dataset.simulate import NOISE_FREE, SimulationOptions
    from edseg_engine.errors import OptionError
    from edseg_engine.evaluation.evaluate import experimental_maps, one_map, simulated_maps

    if args.map:
        if not args.model:
            raise OptionError("--map needs --model, the file of the model that is in the map.")
        return iter([one_map(args.map, args.model, args.resolution)])
    if args.experimental:
        return experimental_maps(
            args.experimental, args.split or "dev", args.worse_than, args.better_than, args.resolution
        )
    if args.resolution is None:
        raise OptionError("Simulated maps need --resolution.")
    options = NOISE_FREE if args.noise_free else SimulationOptions()
    return simulated_maps(args.structures, args.split or "val", args.resolution, options)
