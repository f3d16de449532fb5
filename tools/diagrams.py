"""Pictures of the published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edseg_engine.evaluation.evaluate import MapScore
from edseg_engine.evaluation.metrics import reliability


def reliability_diagrams(scored: Mapping[str, Sequence[MapScore]], out: Path) -> bool:
    """Draw one diagram for each set of maps: fraction right against confidence, the number of residues as areas.

    Returns False, and draws nothing, where matplotlib, an extra of development, is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = 4
    rows = -(-len(scored) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 3.1 * rows), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, scores) in zip(axes.flat, scored.items(), strict=False):
        confidence = np.concatenate([s.proposals.classes.confidence for s in scores])
        right = np.concatenate([s.proposals.right for s in scores])
        numbers, means, fractions = (np.array(column) for column in zip(*reliability(confidence, right), strict=True))
        ax.set_axis_on()
        ax.plot([0, 1], [0, 1], color="0.7")
        ax.scatter(means, fractions, s=400 * numbers / numbers.max() + 4, alpha=0.6)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set_title(name.replace(", ", "\n", 1), fontsize=8)
    figure.supxlabel("confidence")
    figure.supylabel("fraction right")
    figure.tight_layout()
    figure.savefig(out, dpi=80)
    plt.close(figure)
    return True
