"""Draw docs/training-curves.png from the logs of the runs that made the shipped weights.

    .venv/bin/python tests/training_curves.py

A log is ``docs/training-logs/RANGE-N.csv``, the ``log.csv`` of the N-th run of that range's network.
"""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parents[1] / "docs"
#: Rows of a log (about 30 s each) that are averaged: a row sees some 70 windows of few crystals.
SMOOTH = 15


def curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    windows, right = (np.array([float(row[key]) for row in rows]) for key in ("windows", "voxel_accuracy"))
    kernel = np.ones(SMOOTH) / SMOOTH
    return np.convolve(windows, kernel, mode="valid"), np.convolve(right, kernel, mode="valid")


def main() -> None:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
    for ax, name in zip(axes, ("high", "medium", "low"), strict=True):
        start = 0.0
        for number, path in enumerate(sorted((DOCS / "training-logs").glob(f"{name}-*.csv"))):
            windows, right = curve(path)
            ax.plot(start + windows, right, label=f"run {number + 1}")
            start += windows[-1]
        ax.set_title(name)
        ax.set_xlabel("training windows seen")
        ax.legend()
    axes[0].set_ylabel("residue voxels of training windows right")
    figure.tight_layout()
    figure.savefig(DOCS / "training-curves.png", dpi=90)


if __name__ == "__main__":
    main()
