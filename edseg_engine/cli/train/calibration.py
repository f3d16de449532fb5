"""``edseg train calibration``: fit the probabilities and the confidence of weights to maps with known models."""

from __future__ import annotations

import argparse
from pathlib import Path

from edseg_engine.cli.arguments import training_data_parser
from edseg_engine.options import SegmentOptions


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "calibration",
        parents=[training_data_parser()],
        help="fit the calibration of the probabilities and the confidence",
        description="Run a network on maps with known models (the split val of the structures, the split dev of the "
        "experimental crystals with the phases of the refined model and as before the structure was solved), fit its "
        "calibration and store it in a copy of the weights file.",
    )
    parser.add_argument(
        "weights", type=Path, metavar="WEIGHTS", help="weights file written by edseg train network or classifier"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights file to write")
    parser.add_argument(
        "--maps", type=int, default=20, metavar="N", help="number of maps of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--orientations",
        type=int,
        default=SegmentOptions.orientations,
        metavar="N",
        help="rotations of the voxel grid to average over, as in the runs that it is for (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import replace

    import numpy as np
    import torch

    from edseg_engine.dataset.phases import TYPICAL
    from edseg_engine.evaluation.evaluate import Protocol, score_maps
    from edseg_engine.evaluation.metrics import calibration_error
    from edseg_engine.networks.card import Calibration
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.training.calibration import fit_calibration
    from edseg_engine.training.validate import Validation

    weights = load_weights(args.weights)
    raw = replace(weights, card=replace(weights.card, calibration=Calibration()))
    maps = Validation(args.structures, args.experimental, weights.card.range, args.maps, TYPICAL.values()).maps
    scores = score_maps(
        maps,
        lambda _: raw,
        torch.device("cpu"),
        lambda score: print(score.name, flush=True),
        Protocol(args.orientations),
    )
    calibration = fit_calibration(scores)
    card = replace(weights.card, calibration=calibration)
    replace(weights, card=card).save(args.out)
    confidence = np.concatenate([s.proposals.classes.confidence for s in scores])
    right = np.concatenate([s.proposals.right for s in scores])
    error = calibration_error(confidence, right)
    print(f"The expected calibration error of the confidence was {error:.3f} without this calibration.")
    print(f"{args.out}: {card.calibration}")
    return 0
