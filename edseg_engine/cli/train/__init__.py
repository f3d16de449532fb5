"""``edseg train``: the steps that make a weights file, each a command of its own."""

from __future__ import annotations

import argparse

from edseg_engine.cli.train import calibration, classifier, frames, neighbours, network


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "train",
        help="train a network, what reads residues after it, and its calibration",
        description="Train the network of a resolution range, then the classifier of residues that follows it or, if "
        "its voxels vote for atoms, the networks that read residues in the frames of their main chains and among "
        "their neighbours, then the calibration of its probabilities. All but the first read a weights file and write "
        "a more complete one.",
    )
    steps = parser.add_subparsers(metavar="STEP", required=True)
    for step in (network, classifier, frames, neighbours, calibration):
        step.add_parser(steps)
