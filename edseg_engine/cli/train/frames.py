"""``edseg train frames``: teach weights that vote for atoms to read residues in the frames of their main chains."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import training_data_parser

_EXPERIMENTAL_SHARE = 0.35


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "frames",
        parents=[training_data_parser()],
        help="train the network that reads residues in the frames of their main chains",
        description="Cut the density around residues of crystals of the training split in the frame of N, CA and C, "
        "train a small network to tell the class and the atoms from it, and store it in a copy of weights that vote "
        "for atoms. Run again with the same arguments, it continues after the last round.",
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file whose network votes for atoms")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights file to write")
    parser.add_argument(
        "--residues",
        type=int,
        default=200_000,
        metavar="N",
        help="residues that are drawn anew in each round, 8 kB each (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=8, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--passes", type=float, default=2, metavar="N", help="times that each residue is used (default: %(default)s)"
    )
    parser.add_argument(
        "--go-on", action="store_true", help="train the network of that kind on that WEIGHTS hold, instead of a new one"
    )
    parser.add_argument(
        "--cycles",
        type=int,
        default=1,
        metavar="N",
        help="improve maps of poor phases by reading them so often with the shipped weights (edseg segment --cycles), "
        "and draw from all the maps on the way (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import asdict, replace

    import torch

    from edseg_engine.errors import OptionError
    from edseg_engine.networks.card import Calibration
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.options import MOST_CYCLES, check_number
    from edseg_engine.resolution import WIDE
    from edseg_engine.training.frames import FrameOptions, train_frame_net
    from edseg_engine.training.windows import CrystalSource, DataOptions

    weights = load_weights(args.weights)
    if weights.net.config.points < 2:
        raise OptionError(f"{args.weights} holds a network that does not vote for atoms, so that there are no frames.")
    if min(args.residues, args.rounds, args.threads) < 1 or args.seed < 0 or not 0 < args.passes < float("inf"):
        raise OptionError(
            "--residues, --rounds, --passes and --threads are larger than zero, and --seed is not negative."
        )
    check_number("cycles", args.cycles, MOST_CYCLES)
    if args.go_on and weights.frame_net is None:
        raise OptionError(f"{args.weights} holds no network of frames to train on.")
    torch.set_num_threads(args.threads)
    data = DataOptions.of_readers(args.structures, args.experimental, _EXPERIMENTAL_SHARE)
    source = CrystalSource(data, WIDE)
    start_of = weights.info.sha256 if args.go_on else ""
    options = FrameOptions(args.residues, args.rounds, args.passes, args.seed, start_of, args.cycles)
    shown = 0

    def gathered(done: int) -> None:
        nonlocal shown
        if done // 20_000 != shown:
            shown = done // 20_000
            print(f"{done} of {options.residues} residues", flush=True)

    def trained(done: int, of_classes: float, of_points: float) -> None:
        print(f"{done:9d} residues used  classes {of_classes:.3f}  points {of_points:.3f} Å", flush=True)

    checkpoint = args.out.with_suffix(".checkpoint")
    start = weights.frame_net if args.go_on else None
    net = train_frame_net(source, options, start, checkpoint, gathered, trained)
    runs = weights.card.frames.get("runs", []) if args.go_on else []
    frames = {"runs": [*runs, asdict(options)]}
    card = replace(weights.card, frames=frames, neighbours={}, calibration=Calibration())
    # A network of neighbours heeds what another network of frames said.
    replace(weights, card=card, frame_net=net, neighbour_net=None).save(args.out)
    checkpoint.unlink()
    print(f"{args.out} reads residues in the frames of their main chains.")
    print("What reads residues among their neighbours is made anew by edseg train neighbours.")
    print("Its calibration, and that of weights that it runs beside, is made anew by edseg train calibration.")
    return 0
