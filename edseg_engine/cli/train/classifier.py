"""``edseg train classifier``: teach trained weights to read residues from the network's voxels."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import training_data_parser

#: Experimental crystals are fewer but nearer to what users have.
_EXPERIMENTAL_SHARE = 0.5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "classifier",
        parents=[training_data_parser()],
        help="train the classifier of residues that follows the network",
        description="Run a trained network on crystals of the training split and fit the classifier that derives "
        "the class of a residue from the predictions for its voxels. It is stored in a copy of the weights file.",
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file written by edseg train network")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights file to write")
    parser.add_argument(
        "--crystals", type=int, default=200, metavar="N", help="number of crystals to run (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import replace

    from edseg_engine.networks.card import Calibration
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.training.classifier import fit_residue_net, gather_residues
    from edseg_engine.training.windows import CrystalSource, DataOptions

    weights = load_weights(args.weights)
    data = DataOptions(args.structures, args.experimental, _EXPERIMENTAL_SHARE)
    source = CrystalSource(data, weights.card.range)

    def report(done: int) -> None:
        if done % 10 == 0 or done == args.crystals:
            print(f"{done} of {args.crystals} crystals", flush=True)

    residues = gather_residues(weights, source, args.crystals, args.seed, report)
    net = fit_residue_net(residues, args.seed)
    right = float((net.probabilities(residues.features).argmax(1) == residues.labels).mean())
    card = replace(
        weights.card,
        classifier={"crystals": args.crystals, "residues": len(residues.labels), "seed": args.seed},
        calibration=Calibration(),
    )
    replace(weights, card=card, residue_net=net).save(args.out)
    print(f"{len(residues.labels)} residues of {args.crystals} crystals; rank 1 is correct for {right:.3f} of them.")
    print(f"{args.out} has no calibration yet; edseg train calibration adds it.")
    return 0
