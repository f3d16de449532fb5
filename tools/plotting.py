"""Pictures of tools: matplotlib, without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edseg_engine.extras import missing_extra
from edseg_engine.io.output import output_file


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``.

    Raises
    ------
    DependencyError
        If matplotlib, which comes with the extra ``train``, is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise missing_extra("matplotlib", "train") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def save_figure(plt: Any, figure: Any, path: Path) -> None:
    """Write a figure as PNG and close it."""
    figure.tight_layout()
    with output_file(path) as file:
        figure.savefig(file, dpi=90, format="png")
    plt.close(figure)
