"""A picture of a training log."""

from __future__ import annotations

import csv
from pathlib import Path


def plot_log(log: Path, picture: Path) -> None:
    """Draw the losses and the voxel accuracy of `log` (CSV) over the windows seen into `picture` (PNG).

    Does nothing where matplotlib, an extra of development, is not installed or the log has no line yet.
    """
    try:
        import matplotlib
    except ImportError:
        return
    if not log.exists():
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    seen = [float(row["windows"]) for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    for column in ("class_loss", "offset_loss"):
        left.plot(seen, [float(row[column]) for row in rows], label=column.replace("_", " "))
    left.legend()
    right.plot(seen, [float(row["voxel_accuracy"]) for row in rows])
    right.set_title("residue voxels with the right class")
    for axes in (left, right):
        axes.set_xlabel("windows seen")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
