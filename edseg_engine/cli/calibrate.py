"""``edseg calibrate``: fit probabilities and confidence of a weights file on maps with known models."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "calibrate",
        help="make probabilities and confidence mean what they say",
        description="Run a network on maps with known models, fit its calibration, store it in a copy of the weights.",
    )
    parser.add_argument("weights", type=Path, help="weights file, as training writes it")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write")
    parser.add_argument("--structures", type=Path, required=True, help="folder with the split 'val'")
    parser.add_argument("--experimental", type=Path, help="folder of experimental crystals, whose split 'dev' is used")
    parser.add_argument("--maps", type=int, default=20, help="maps of each kind (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import replace

    import numpy as np
    import torch

    from edseg_engine.evaluation.evaluate import score_maps
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.resolution import range_by_name
    from edseg_engine.training.calibration import calibration_error, calibration_to_json, fit_calibration
    from edseg_engine.training.validate import Validation

    weights = load_weights(args.weights)
    raw = replace(weights, card=replace(weights.card, calibration={}))
    known = Validation(args.structures, args.experimental, range_by_name(weights.card.name), args.maps).maps
    scores = score_maps(known, lambda _: raw, torch.device("cpu"), lambda score: print(score.name, flush=True))
    calibration = fit_calibration(scores)
    card = replace(weights.card, calibration=calibration_to_json(calibration))
    replace(weights, card=card).save(args.out)
    confidence = np.concatenate([s.proposals.classes.confidence for s in scores])
    right = np.concatenate([s.proposals.right for s in scores])
    print(f"Without calibration the confidence was off by {calibration_error(confidence, right):.3f} (ECE).")
    print(f"{args.out}: {card.calibration}")
    return 0
