"""The table that ends ``edseg segment``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from edseg_engine.labels import LABELS
from edseg_engine.results.files import IMPROVED_FILE
from edseg_engine.results.records import Segmentation


def summary(segmentation: Segmentation, directory: Path) -> str:
    """Return lines that say what was found, by which means, and where the files lie."""
    residues, weights = segmentation.residues, segmentation.weights
    counts = Counter(residue.ranks[0][0] for residue in residues)
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in segmentation.timings.items())
    rows = [("Residues", str(len(residues)))]
    if residues:
        rows.append(("Mean confidence", f"{fmean(residue.confidence for residue in residues):.2f}"))
        rows.append(("By rank-1 type", "  ".join(f"{label} {counts[label]}" for label in LABELS if counts[label])))
    rows += [
        *map_row(segmentation.input),
        ("Resolution", f"{segmentation.resolution:.2f} Å"),
        ("Region", segmentation.region),
        *_cycles(segmentation),
        ("Weights", f"{weights.name} ({weights.d_min:g} to {weights.d_max:g} Å), sha256 {weights.sha256[:12]}"),
        ("Device", segmentation.device),
        ("Time", f"{sum(segmentation.timings.values()):.1f} s ({stages})"),
        *(("Warning", warning) for warning in segmentation.warnings),
        ("Results", str(directory)),
    ]
    return "\n".join(f"{name:<17}{text}" for name, text in rows)


def map_row(source: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a row that names the columns of a reflection file that its map was made of."""
    columns = source.get("columns")
    return [("Map", ", ".join(map(str, columns)))] if columns else []


def _cycles(segmentation: Segmentation) -> list[tuple[str, str]]:
    if segmentation.options.cycles == 1:
        return []
    cycle = segmentation.input.get("cycle")
    best = f"that of cycle {cycle}, {IMPROVED_FILE}" if cycle else "that of the file"
    return [("Cycles", f"at most {segmentation.options.cycles}; the map that is read most surely is {best}")]
