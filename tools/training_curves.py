"""Draw docs/training-curves.png from the logs of the runs that made the shipped weights, and of those before.

    python -m tools.training_curves

``docs/training-logs/RANGE.csv`` is the ``log.csv`` of that range's network; ``smaller-RANGE-N.csv`` is that of the N-th
run of the smaller network that was shipped before.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from edseg_engine.training.plot import read_log

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parents[1] / "docs"
LOGS = DOCS / "training-logs"
#: Rows of a log of the smaller network (about 30 s each) that are averaged: a row saw some 70 windows of few crystals.
SMOOTH = 15


def curve(path: Path, smooth: int) -> tuple[np.ndarray, np.ndarray]:
    log = read_log(path)
    ends, right = np.array(log["windows"]), np.array(log["voxel_accuracy"])
    windows = ends - np.diff(ends, prepend=0.0) / 2
    kernel = np.ones(smooth) / smooth
    return np.convolve(windows, kernel, mode="valid"), np.convolve(right, kernel, mode="valid")


def main() -> None:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
    for ax, name in zip(axes, ("high", "medium", "low"), strict=True):
        start = 0.0
        for path in sorted(LOGS.glob(f"smaller-{name}-*.csv")):
            windows, right = curve(path, SMOOTH)
            ax.plot(start + windows, right, color="0.6", label="" if start else "smaller network, CPU")
            start += windows[-1]
        windows, right = curve(LOGS / f"{name}.csv", 1)
        ax.plot(windows, right, label="shipped network, GPU")
        ax.set_xscale("log")
        ax.set_title(name)
        ax.set_xlabel("training windows seen")
    axes[0].set_ylabel("residue voxels of training windows right")
    axes[0].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(DOCS / "training-curves.png", dpi=90)


if __name__ == "__main__":
    main()
