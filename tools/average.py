"""Average weights files of one network shape: ``python -m tools.average high.safetensors medium.safetensors``.

Networks that were trained on from one another lie in one basin: their mean reads the maps of both nearly as well as
each reads its own, and is where one network for both is trained on from (Wortsman et al. 2022, arXiv:2203.05482).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from edseg_engine.errors import WeightsError
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.weights import load_weights, save_weights
from edseg_engine.resolution import range_by_name
from tools.command import run_tool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser("python -m tools.average", description="Write the mean of several weights files.")
    parser.add_argument("weights", type=Path, nargs="+", help="weights files of networks of one shape")
    parser.add_argument("--range", default="wide", help="resolution range of the mean (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Average the networks; classifiers and calibrations are left out, for they belong to each alone."""
    loaded = [load_weights(path) for path in args.weights]
    config = loaded[0].card.network
    for path, weights in zip(args.weights, loaded, strict=True):
        if weights.card.network != config:
            raise WeightsError(f"{path} belongs to a network of another shape ({weights.card.network}).")
    states = [weights.net.state_dict() for weights in loaded]
    mean = {k: torch.stack([s[k] for s in states]).mean(0) for k, v in states[0].items() if v.is_floating_point()}
    averaged = [{"name": w.info.name, "sha256": w.info.sha256} for w in loaded]
    save_weights(mean, WeightsCard(range_by_name(args.range), config, {"average_of": averaged}), args.out)


if __name__ == "__main__":
    raise SystemExit(main())
