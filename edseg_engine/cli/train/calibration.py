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
    parser.add_argument(
        "--cycles",
        type=int,
        default=SegmentOptions.cycles,
        metavar="N",
        help="read maps of poor phases at most so often (edseg segment --cycles), and fit the calibration of those "
        "whose phases were improved, beside that of all others (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    from dataclasses import replace

    import numpy as np
    import torch

    from edseg_engine.dataset.phases import TYPICAL
    from edseg_engine.errors import OptionError
    from edseg_engine.evaluation.evaluate import Protocol, propose
    from edseg_engine.evaluation.metrics import calibration_error
    from edseg_engine.networks.card import Calibration
    from edseg_engine.networks.weights import load_weights
    from edseg_engine.training.calibration import fit_calibration
    from edseg_engine.training.validate import Validation

    weights = load_weights(args.weights)
    again = args.cycles > 1
    applied = weights.card.calibration if again else Calibration()
    as_applied = replace(weights, card=replace(weights.card, calibration=applied, cycles=None))
    maps = Validation(args.structures, args.experimental, weights.card.range, args.maps, TYPICAL.values()).maps
    found = []
    for known in maps:
        if again and (known.amplitudes is None or "phases" not in known.density.source):
            continue
        proposals = propose(known, as_applied, torch.device("cpu"), Protocol(args.orientations, cycles=args.cycles))
        print(f"{known.name}: cycle {proposals.cycle}", flush=True)
        if not again or proposals.cycle > 1:
            found.append(proposals)
    if not found:
        raise OptionError("There is no map to fit the calibration to: none was read more surely with improved phases.")
    calibration = fit_calibration(found, applied)
    card = as_applied.card
    card = replace(card, cycles=calibration) if again else replace(card, calibration=calibration)
    replace(weights, card=card).save(args.out)
    confidence = np.concatenate([each.classes.confidence for each in found])
    error = calibration_error(confidence, np.concatenate([each.right for each in found]))
    print(f"The expected calibration error of the confidence was {error:.3f} without this calibration.")
    print(f"{args.out}: {calibration}")
    if not again and weights.card.cycles is not None:
        print("That of maps whose phases were improved is made anew by edseg train calibration --cycles.")
    return 0
