"""``edseg train``: the three steps that make a weights file, each a command of its own."""

from __future__ import annotations

import argparse

from edseg_engine.cli.train import calibration, classifier, network


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "train",
        help="train a network, its classifier of residues and its calibration",
        description="Train the network of a resolution range, then the classifier of residues that follows it, then "
        "the calibration of its probabilities. The last two read a weights file and write a more complete one.",
    )
    steps = parser.add_subparsers(metavar="STEP", required=True)
    for step in (network, classifier, calibration):
        step.add_parser(steps)
