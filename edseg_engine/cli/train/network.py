"""``edseg train network``: train or fine-tune the network of one resolution range."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edseg_engine.cli.arguments import device_parser, training_data_parser
from edseg_engine.resolution import RANGES, WIDE

if TYPE_CHECKING:
    from rich.console import Console

    from edseg_engine.training.validate import Validation


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "network",
        parents=[training_data_parser(), device_parser()],
        help="train the network of one resolution range",
        description="Train the network of one resolution range on simulated and experimental crystals. Restarted "
        "with the same --out, it continues from the last checkpoint.",
    )
    parser.add_argument(
        "range",
        choices=[r.name for r in (*RANGES, WIDE)],
        help="; ".join(f"{r.name}: {r.d_min:g} to {r.d_max:g} Å" for r in (*RANGES, WIDE)),
    )
    parser.add_argument(
        "--experimental-share", type=float, default=0.35, help="fraction of crystals that are experimental"
    )
    parser.add_argument(
        "--crystal-share", type=float, default=0.65, help="fraction of simulated crystals with real cell and symmetry"
    )
    parser.add_argument(
        "--noise-free-share", type=float, default=0.12, help="fraction of simulated crystals without errors"
    )
    parser.add_argument(
        "--simulation",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the simulation, such as missing=0,0.1",
    )
    parser.add_argument(
        "--poor-phases-share",
        type=float,
        default=0.55,
        help="fraction of crystals with phases as before the structure is solved",
    )
    parser.add_argument(
        "--cryo-em-share",
        type=float,
        default=0.0,
        help="fraction of simulated maps that are of single particles instead of crystals (default: %(default)s)",
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="its architecture: stacknet, or fc-densenet57 or fc-densenet49, which name voxels only; an unknown name "
        "lists all (default: as --start-from, else stacknet)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoint, log, weights")
    parser.add_argument(
        "--windows", type=int, default=8000, help="total number of training windows (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="end after this many minutes at the latest (default: no limit)"
    )
    parser.add_argument("--batch", type=int, default=4, help="windows per step of each process")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument(
        "--warmup",
        type=int,
        default=50,
        help="steps over which the learning rate rises to its peak; fewer for runs of a few minutes "
        "(default: %(default)s)",
    )
    parser.add_argument("--start-from", type=Path, help="weights file to start from (fine-tuning)")
    parser.add_argument(
        "--votes",
        choices=("centroid", "backbone"),
        help="what voxels vote for: the centroid of their residue alone, or the atoms of its backbone, too "
        "(default: as the network of --start-from, else backbone); only of a stacknet",
    )
    parser.add_argument(
        "--loss",
        metavar="NAME",
        default="cross-entropy",
        help="cross-entropy, with a robust loss of offsets, or thesis: Lovász-softmax, squared error and Dice "
        "(default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the training process")
    parser.add_argument("--compile", action="store_true", help="compile the network; worthwhile on a GPU")
    parser.add_argument(
        "--replay",
        type=int,
        default=1,
        help="number of times each window is used, for a GPU that would wait for windows",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that make windows, for each training process")
    parser.add_argument("--checkpoint-seconds", type=float, default=90.0, help="seconds between checkpoints")
    parser.add_argument("--validate-every", type=int, default=2000, help="windows between validations")
    parser.add_argument(
        "--validation-maps", type=int, default=0, help="number of whole maps to validate on (default: none)"
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=0,
        help="stop after this many validations in a row without a better rank-1, and keep the best weights",
    )
    parser.add_argument(
        "--atom-weight",
        type=float,
        default=2.0,
        help="weight of the votes for atoms in the loss",
    )
    parser.add_argument(
        "--chemistry-weight",
        type=float,
        default=0.0,
        help="weight of bonds, angles and chirality of the voted backbone in the loss (default: %(default)s)",
    )
    parser.add_argument("--no-muon", action="store_true", help="train all kernels by AdamW, for small batches")
    parser.add_argument(
        "--frozen-statistics", action="store_true", help="keep the normalisation of --start-from, for small batches"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train as `args` say; returns the exit code."""
    import torch
    from rich.console import Console

    from edseg_engine.dataset.simulate import simulation_options
    from edseg_engine.devices import choose_device
    from edseg_engine.errors import OptionError
    from edseg_engine.labels import N_POINTS
    from edseg_engine.networks.architectures import SHAPES
    from edseg_engine.networks.stacknet import StackNetConfig
    from edseg_engine.networks.weights import network_of
    from edseg_engine.options import check_choice
    from edseg_engine.resolution import range_by_name
    from edseg_engine.training.distributed import join_ranks, leave_ranks
    from edseg_engine.training.loop import Trainer
    from edseg_engine.training.options import TrainOptions
    from edseg_engine.training.plot import plot_log
    from edseg_engine.training.validate import Validation
    from edseg_engine.training.windows import DataOptions

    if args.patience and not args.validation_maps:
        raise OptionError("--patience needs whole maps to validate on; set their number with --validation-maps.")
    if args.replay < 1 or args.batch % args.replay:
        raise OptionError(f"--batch {args.batch} is not divisible by --replay {args.replay}; choose a multiple of it.")
    if args.warmup < 0:
        raise OptionError(f"--warmup is a number of steps, not {args.warmup}.")
    if args.network:
        check_choice("network", args.network, tuple(SHAPES))
    shape = network_of(args.start_from) if args.start_from and not args.network else SHAPES[args.network or "stacknet"]
    if args.votes:
        if not isinstance(shape, StackNetConfig):
            raise OptionError("--votes is for a stacknet; voxels of other networks do not vote.")
        shape = replace(shape, points=N_POINTS if args.votes == "backbone" else 1)
    torch.set_num_threads(args.threads)
    console = Console()
    ranks = join_ranks(choose_device(args.device).type)
    if args.minutes and ranks.size > 1:
        raise OptionError("--minutes works with a single process only, because the clocks of several do not agree.")
    trainer = Trainer(
        args.out,
        range_by_name(args.range),
        shape,
        DataOptions(
            args.structures,
            args.experimental,
            args.experimental_share,
            args.crystal_share,
            args.noise_free_share,
            args.poor_phases_share,
            args.cryo_em_share,
            simulation=simulation_options(args.simulation),
        ),
        TrainOptions(
            windows=args.windows,
            minutes=args.minutes,
            batch=args.batch,
            learning_rate=args.learning_rate,
            warmup=args.warmup,
            seed=args.seed,
            loss=args.loss,
            replay=args.replay,
            workers=args.workers,
            checkpoint_seconds=args.checkpoint_seconds,
            validate_every=args.validate_every,
            compiled=args.compile,
            frozen_statistics=args.frozen_statistics,
            muon=not args.no_muon,
            atom_weight=args.atom_weight,
            chemistry_weight=args.chemistry_weight,
            patience=args.patience,
        ),
        ranks,
        start_from=args.start_from,
    )

    def report(row: dict[str, float]) -> None:
        terms = "  ".join(f"{name.removesuffix('_loss')} {row[name]:.3f}" for name in trainer.loss.terms)
        console.print(
            f"{row['windows']:7.0f} of {args.windows} windows  loss {row['loss']:.3f}  {terms}  "
            f"voxels right {row['voxel_accuracy']:.3f}  "
            f"{row['windows_per_second']:.2f} windows/s",
            highlight=False,
        )

    validate = None
    if args.validation_maps and ranks.is_first:
        maps = Validation(args.structures, args.experimental, trainer.range, args.validation_maps)
        validate = partial(_validate, maps, args.out, console)
    trainer.run(report, validate)
    leave_ranks()
    if ranks.is_first:
        plot_log(args.out)
        console.print(f"The weights are in {trainer.weights_path}.", highlight=False)
    return 0


def _validate(maps: Validation, folder: Path, console: Console, weights: Path, windows: int) -> float:
    """Score `weights` on whole maps, log and print it; returns rank-1."""
    from edseg_engine.training.loop import append_row

    row = maps.score(weights, windows)
    append_row(folder / "validation.csv", row)
    console.print(
        f"{windows:7.0f} windows: rank-1 {row['rank1']:.3f}  rank-3 {row['rank3']:.3f}  "
        f"recall {row['recall']:.3f}  on {row['maps']:.0f} whole maps, K given",
        highlight=False,
    )
    return row["rank1"]
