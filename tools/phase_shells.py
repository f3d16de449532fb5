"""Are simulated maps of poor phases as poor as those of measured amplitudes? ``python -m tools.phase_shells``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import map_coefficients, reciprocal_lengths
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.phases import TYPICAL, PhaseQuality
from edseg_engine.dataset.simulate import simulate_map
from edseg_engine.evaluation.tables import markdown_table
from tools.command import run_tool
from tools.realism import correlation_of, crystals_to_simulate, means_and_deviations

#: Crystals are compared at these d_min (Å), the measured ones if their data end between it and the next figure.
_CUTS = ((2.0, 1.0), (3.0, 2.4))
_SHELLS = 5


def shell_correlations(first: DensityMap, final: DensityMap, d_min: float) -> NDArray[np.float64]:
    """Return the correlation (5,) of two maps of a crystal in shells of as many reflections each, to `d_min` Å."""
    miller = gemmi.make_miller_array(final.cell, final.spacegroup, d_min)
    a, b = map_coefficients(first, miller), map_coefficients(final, miller)
    shells = np.array_split(np.argsort(reciprocal_lengths(final.cell, final.spacegroup, miller)), _SHELLS)
    return np.array([correlation_of(a[shell], b[shell]) for shell in shells])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.phase_shells",
        description="Print how maps with each kind of poor phases correlate, shell by shell, with the final map of "
        "their crystal: measured crystals of the split dev, and simulated ones of the split val.",
    )
    parser.add_argument("--structures", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--experimental", type=Path, required=True, metavar="FOLDER")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    rows = []
    for kind, quality in TYPICAL.items():
        if kind == "refined":
            continue
        for d_min, finest in _CUTS:
            measured = list(_measured(args.experimental, quality, d_min, finest))
            simulated = list(_simulated(args.structures, quality, d_min))
            for name, group in (("measured", measured), ("simulated", simulated)):
                if group:
                    rows.append([kind, f"{d_min:g} Å, {name}", str(len(group)), *means_and_deviations(group)])
    print(markdown_table(["phases", "maps", "number", *(f"shell {i + 1}" for i in range(_SHELLS))], rows))


def _measured(folder: Path, quality: PhaseQuality, d_min: float, finest: float) -> Iterator[NDArray[np.float64]]:
    for number, entry in enumerate(read_index(folder, "dev")):
        if finest < entry.d_min <= d_min and (crystal := ExperimentalCrystal(entry)).amplitudes is not None:
            first = crystal.initial_density(d_min, quality, np.random.default_rng([7, number]))
            yield shell_correlations(first, crystal.density(d_min), d_min)


def _simulated(folder: Path, quality: PhaseQuality, d_min: float) -> Iterator[NDArray[np.float64]]:
    for number, structure in enumerate(crystals_to_simulate(folder)):
        # The same seed gives both maps the same crystal and the same measured amplitudes.
        final = simulate_map(structure.clone(), d_min, np.random.default_rng([7, number]))
        first = simulate_map(structure, d_min, np.random.default_rng([7, number]), quality=quality)
        yield shell_correlations(first, final, d_min)


if __name__ == "__main__":
    sys.exit(main())
