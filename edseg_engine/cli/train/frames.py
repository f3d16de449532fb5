"""``edseg train frames``: teach weights that vote for atoms to read residues in the frames of their main chains."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import training_data_parser

_EXPERIMENTAL_SHARE, _POOR_PHASES_SHARE = 0.35, 0.75


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "frames",
        parents=[training_data_parser()],
        help="train the network that reads residues in the frames of their main chains",
        description="Cut the density around residues of crystals of the training split in the frame of N, CA and C, "
        "train a small network to tell the class and the atoms from it, and store it in a copy of weights that vote "
        "for atoms. What they have of that kind is trained on.",
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file whose network votes for atoms")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights file to write")
    parser.add_argument(
        "--residues",
        type=int,
        default=800_000,
        metavar="N",
        help="number of residues, 8 kB each (default: %(default)s)",
    )
    parser.add_argument(
        "--passes", type=float, default=4, metavar="N", help="times that each is used (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import replace

    import torch

    from edseg_engine.errors import OptionError
    from edseg_engine.networks.card import Calibration
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.resolution import RANGES, WIDE
    from edseg_engine.training.frames import fit_frame_net, gather_frames
    from edseg_engine.training.windows import CrystalSource, DataOptions

    weights = load_weights(args.weights)
    if weights.net.config.points < 2:
        raise OptionError(f"{args.weights} holds a network that does not vote for atoms, so that there are no frames.")
    if args.residues < 1 or args.threads < 1 or args.seed < 0 or not 0 < args.passes < float("inf"):
        raise OptionError("--residues, --passes and --threads are larger than zero, and --seed is not negative.")
    torch.set_num_threads(args.threads)
    data = DataOptions(args.structures, args.experimental, _EXPERIMENTAL_SHARE, poor_phases_share=_POOR_PHASES_SHARE)
    source = CrystalSource(data, replace(WIDE, d_max=RANGES[-1].d_max))
    crystals = 0

    def gathered(done: int) -> None:
        nonlocal crystals
        crystals += 1
        if crystals % 20 == 0:
            print(f"{done} of {args.residues} residues", flush=True)

    def trained(done: int, of_classes: float, of_points: float) -> None:
        print(f"{done:9d} residues used  classes {of_classes:.3f}  points {of_points:.3f} Å", flush=True)

    frames = gather_frames(source, args.residues, args.seed, gathered)
    net = fit_frame_net(frames, args.passes, args.seed, trained, weights.frame_net)
    run_of = {"crystals": crystals, "residues": len(frames.labels), "passes": args.passes, "seed": args.seed}
    runs = {"runs": [*weights.card.frames.get("runs", []), run_of]}
    card = replace(weights.card, frames=runs, calibration=Calibration())
    replace(weights, card=card, frame_net=net).save(args.out)
    print(f"{args.out} reads residues in the frames of their main chains.")
    print("Its calibration, and that of weights that it runs beside, is made anew by edseg train calibration.")
    return 0
