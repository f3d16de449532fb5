"""A picture of a training run."""

from __future__ import annotations

import csv
from pathlib import Path


def plot_log(folder: Path) -> None:
    """Draw ``log.csv`` and, where there is one, ``validation.csv`` of a run into its ``log.png``.

    Does nothing where matplotlib, an extra of development, is not installed or the log has no line yet.
    """
    try:
        import matplotlib
    except ImportError:
        return
    log = read_log(folder / "log.csv")
    if not log:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    for column in (c for c in log if c.endswith("_loss") or c == "delta"):
        left.plot(log["windows"], log[column], label=column.replace("_", " "))
    right.plot(log["windows"], log["voxel_accuracy"], label="residue voxels of training windows")
    validation = read_log(folder / "validation.csv")
    for column in ("rank1", "rank3", "recall") if validation else ():
        right.plot(validation["windows"], validation[column], marker="o", label=f"{column} of whole unseen maps")
    for axes in (left, right):
        axes.set_xlabel("windows seen")
        axes.legend(fontsize="small")
    right.set_title("fraction right")
    left.set_title("losses")
    left.set_yscale("log")
    figure.tight_layout()
    figure.savefig(folder / "log.png", dpi=110)
    plt.close(figure)


def read_log(path: Path) -> dict[str, list[float]]:
    """Return the columns of a run's log; empty if it is missing or has no line yet."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in rows[0]} if rows else {}
