"""``edseg train neighbours``: teach weights with a network of frames to read residues among their neighbours."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import training_data_parser

_EXPERIMENTAL_SHARE = 0.25


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "neighbours",
        parents=[training_data_parser()],
        help="train the network that reads residues among their neighbours",
        description="Read residues of crystals of the training split with the network of frames of a weights file, "
        "train a network to tell the class of each from what was read of all around it and how their main chains lie, "
        "and store it in a copy of the file. Run again with the same arguments, it continues after the last complete "
        "pass.",
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file with a network of frames")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights file to write")
    parser.add_argument(
        "--residues",
        type=int,
        default=1_200_000,
        metavar="N",
        help="residues to read, 2.4 kB of memory each (default: %(default)s)",
    )
    parser.add_argument(
        "--passes", type=int, default=6, metavar="N", help="times that each is used (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes that read residues (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads that train (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import asdict, replace

    import torch

    from edseg_engine.errors import OptionError
    from edseg_engine.networks.card import Calibration
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.resolution import WIDE
    from edseg_engine.training.neighbours import NeighbourOptions, train_neighbour_net
    from edseg_engine.training.readings import ReadingOptions, Readings, gather_readings
    from edseg_engine.training.windows import DataOptions

    weights = load_weights(args.weights)
    if weights.frame_net is None:
        raise OptionError(f"{args.weights} holds no network of frames: make it with edseg train frames.")
    if min(args.residues, args.passes, args.jobs, args.threads) < 1 or args.seed < 0:
        raise OptionError(
            "--residues, --passes, --jobs and --threads are larger than zero, and --seed is not negative."
        )
    torch.set_num_threads(args.threads)
    data = DataOptions.of_readers(args.structures, args.experimental, _EXPERIMENTAL_SHARE)
    source = ReadingOptions(data, WIDE, weights.frame_net, args.seed)
    options = NeighbourOptions(args.residues, args.passes, args.seed, weights.info.sha256)

    def gather() -> Readings:
        def gathered(done: int) -> None:
            print(f"{done} of {args.residues} residues", flush=True)

        return gather_readings(source, args.residues, args.jobs, gathered)

    def trained(passes: int, done: int, loss: float, before: float) -> None:
        print(f"pass {passes + 1}  {done:9d} residues used  classes {loss:.3f}  before {before:.3f}", flush=True)

    checkpoint = args.out.with_suffix(".checkpoint")
    net = train_neighbour_net(gather, options, checkpoint, trained)
    card = replace(weights.card, neighbours=asdict(options), calibration=Calibration())
    replace(weights, card=card, neighbour_net=net).save(args.out)
    checkpoint.unlink()
    print(f"{args.out} reads residues among their neighbours.")
    print("Its calibration, and that of weights that it runs beside, is made anew by edseg train calibration.")
    return 0
