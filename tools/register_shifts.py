"""Plant register shifts in models and count how many are found: ``python -m tools.register_shifts``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edseg_engine.checking.check import RegisterShift, compare, looks
from edseg_engine.cli.arguments import device_parser, network_parser
from edseg_engine.crystal.region import choose_region
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.devices import choose_device
from edseg_engine.errors import TrainingDataError
from edseg_engine.networks.weights import choose_weights
from edseg_engine.pipeline import predict_map
from edseg_engine.residues.classify import Classifier
from edseg_engine.residues.known import KnownResidues
from edseg_engine.resolution import range_of_resolution
from tools.command import run_tool

#: Lengths of the stretches that are planted, by how much they are shifted, and how often each in each chain.
LENGTHS, SHIFTS, REPEATS = (8, 10, 12, 16, 20), (-3, -2, -1, 1, 2, 3), 4
#: Resolution (Å) of the maps, at best and at worst.
FINEST, COARSEST = 2.5, 3.5
#: A call this near (residues) to a planted stretch is no false alarm.
_NEAR = 3


@dataclass(frozen=True)
class Planted:
    """A model with a shift: residues `first` to `last` have the types that belong `by` residues further on."""

    residues: KnownResidues
    first: int
    last: int
    by: int

    def is_found(self, shift: RegisterShift) -> bool:
        """Whether a called shift is the planted one: what undoes it, at the same place."""
        names = self.residues.names
        first, last = names.index(shift.first), names.index(shift.last)
        return shift.by == -self.by and first <= self.last and last >= self.first

    def is_near(self, shift: RegisterShift) -> bool:
        """Whether a called shift may come from the planted one."""
        names = self.residues.names
        return names.index(shift.first) <= self.last + _NEAR and names.index(shift.last) >= self.first - _NEAR


def plant(residues: KnownResidues, rng: np.random.Generator) -> Iterator[Planted]:
    """Yield models with a shift planted in one of their chains; stretches that hardly change are left out."""
    chains = [name.chain for name in residues.names]
    for chain in dict.fromkeys(chains):
        here = np.flatnonzero([c == chain for c in chains])
        for length in LENGTHS:
            for by in SHIFTS:
                low, high = here[0] + max(0, -by), here[-1] + 1 - max(0, by) - length
                for _ in range(REPEATS if high >= low else 0):
                    first = int(rng.integers(low, high + 1))
                    labels, names = residues.labels.copy(), list(residues.names)
                    for i in range(first, first + length):
                        labels[i] = residues.labels[i + by]
                        names[i] = replace(names[i], type=residues.names[i + by].type)
                    if (labels != residues.labels).sum() >= length / 2:
                        changed = replace(residues, labels=labels, names=tuple(names))
                        yield Planted(changed, first, first + length - 1, by)


@dataclass
class Counts:
    """What was planted, found, and called where nothing was planted, in how many residues."""

    planted: int = 0
    found: int = 0
    false_alarms: int = 0
    residues: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.planted + other.planted,
            self.found + other.found,
            self.false_alarms + other.false_alarms,
            self.residues + other.residues,
        )


def score(
    residues: KnownResidues, probabilities: NDArray[np.float64], seen: NDArray[np.bool_], rng: np.random.Generator
) -> Counts:
    """Return what is found of shifts planted in a model, and the false alarms in the model as it is."""
    counts = Counts(false_alarms=len(compare(residues, probabilities, seen)[1]), residues=len(residues.labels))
    for planted in plant(residues, rng):
        shifts = compare(planted.residues, probabilities, seen)[1]
        counts.planted += 1
        counts.found += any(map(planted.is_found, shifts))
        counts.false_alarms += sum(not planted.is_near(shift) for shift in shifts)
        counts.residues += len(residues.labels)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.register_shifts",
        parents=[network_parser(), device_parser()],
        description="Plant register shifts in models of the split dev and print how many are found, and false alarms.",
    )
    parser.add_argument("--experimental", type=Path, required=True, metavar="DIR", help="folder with the split dev")
    parser.add_argument("--phases", nargs="+", choices=tuple(TYPICAL), default=["main-chain", "refined"])
    parser.add_argument("--most", type=int, default=150, metavar="N", help="leave larger crystals (residues) out")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Print the table, a row for each map."""
    device = choose_device(args.device)
    print("| phases | crystal | resolution (Å) | residues | rank 1 | found | false alarms per 1,000 residues |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for phases in args.phases:
        total, n_maps = Counts(), 0
        for number, entry in enumerate(read_index(args.experimental, "dev")):
            d_min = max(entry.d_min, FINEST + 0.1 * (number % 6))
            crystal = ExperimentalCrystal(entry) if d_min <= COARSEST else None
            if crystal is None or len(crystal.residues.labels) > args.most or not crystal.has_amplitudes:
                continue
            rng = np.random.default_rng([13, number])
            if phases == "refined":
                density = crystal.density(d_min)
            else:
                density = crystal.initial_density(d_min, TYPICAL[phases], rng)
            weights, region = choose_weights(args.weights, range_of_resolution(d_min)), choose_region(density, "auto")
            prediction = predict_map(density, region, weights, device, orientations=args.orientations, views=args.views)
            residues = crystal.residues
            radius = weights.card.range.label_radius
            probabilities, seen = looks(residues, prediction, Classifier.of(weights), radius)
            counts = score(residues, probabilities, seen, rng)
            rank1 = float((probabilities.argmax(1) == residues.labels).mean())
            print(_row(phases, entry.name, f"{d_min:.1f}", str(len(residues.labels)), f"{rank1:.2f}", counts))
            total, n_maps = total + counts, n_maps + 1
        if not n_maps:
            raise TrainingDataError(f"{args.experimental} has no crystal for this; allow larger ones with --most.")
        print(_row(phases, f"all {n_maps}", "", "", "", total))


def _row(phases: str, name: str, d_min: str, residues: str, rank1: str, counts: Counts) -> str:
    found = f"{counts.found / max(1, counts.planted):.0%} of {counts.planted}"
    alarms = f"{1000 * counts.false_alarms / max(1, counts.residues):.2f}"
    return f"| {phases} | {name} | {d_min} | {residues} | {rank1} | {found} | {alarms} |"


if __name__ == "__main__":
    sys.exit(main())
