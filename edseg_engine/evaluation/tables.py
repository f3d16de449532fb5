"""Scores as Markdown tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edseg_engine.evaluation.atoms import CLOSE, atom_figures
from edseg_engine.evaluation.evaluate import MapScore
from edseg_engine.evaluation.given import GivenScore
from edseg_engine.evaluation.metrics import (
    ResidueCounts,
    VoxelCounts,
    calibration_error,
    chance_calibration_error,
    total,
    total_voxels,
)
from edseg_engine.labels import LABELS

#: The three ways to get instances, with their heading.
WAYS = {"k_given": "K given", "k_found": "K found", "true_instances": "true instances"}


def summary(scores: Sequence[MapScore]) -> dict[str, Any]:
    """Return the figures over all residues of a set of maps, and the mean and deviation over maps of rank-1."""
    confidence = np.concatenate([s.proposals.classes.confidence for s in scores])
    out: dict[str, Any] = {
        "maps": len(scores),
        "residues": int(sum(s.k_given.true.sum() for s in scores)),
        "semantic_iou": total_voxels([s.voxels for s in scores]).mean_iou(),
        "instance_dice": float(np.average([s.dice for s in scores], weights=[s.k_given.true.sum() for s in scores])),
        "confidence_ece": calibration_error(confidence, np.concatenate([s.proposals.right for s in scores])),
        "confidence_ece_by_chance": chance_calibration_error(confidence),
        "atoms": atom_figures([s.atoms for s in scores]),
        "seconds": float(sum(s.seconds for s in scores)),
    }
    for way in WAYS:
        counts: list[ResidueCounts] = [getattr(s, way) for s in scores]
        per_map = [c.figures()["rank1"] for c in counts]
        out[way] = {
            **total(counts).figures(),
            "rank1_mean_of_maps": float(np.mean(per_map)),
            "rank1_deviation_of_maps": float(np.std(per_map)),
        }
    return out


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def summary_table(sets: Sequence[tuple[str, Sequence[MapScore]]]) -> str:
    """Return the rows of the thesis's table 6.2 for each named set of maps."""
    rows = []
    for name, scores in sets:
        figures = summary(scores)
        for way, heading in WAYS.items():
            f = figures[way]
            given = way == "k_given"
            rows.append(
                [
                    f"{name} ({figures['maps']} maps, {figures['residues']} residues)" if given else "",
                    heading,
                    *(f"{f[key]:.3f}" for key in ("rank1", "rank3", "recall", "precision", "found_over_true")),
                    *(f"{f[key]:.3f}" for key in ("label_precision", "label_recall")),
                    f"{figures['instance_dice']:.3f}" if given else "",
                    f"{figures['semantic_iou']:.3f}" if given else "",
                    f"{figures['confidence_ece']:.3f}" if way == "k_found" else "",
                ]
            )
    header = ["maps", "instances", "rank-1", "rank-3", "recall", "precision", "found / true"]
    return markdown_table([*header, "label precision", "label recall", "instance Dice", "semantic IoU", "ECE"], rows)


def tables(name: str, scores: Sequence[MapScore]) -> str:
    """Return all tables of one set of maps."""
    by_chance = summary(scores)["confidence_ece_by_chance"]
    note = f"The ECE of a confidence that is exactly right would be {by_chance:.3f} with these residues, by chance.\n"
    parts = [summary_table([(name, scores)]), note, map_table(scores), class_table(*totals(scores)), atom_table(scores)]
    return "\n".join(filter(None, parts))


def totals(scores: Sequence[MapScore]) -> tuple[ResidueCounts, VoxelCounts]:
    """Return the counts over a set of maps, of residues with K given."""
    return total([s.k_given for s in scores]), total_voxels([s.voxels for s in scores])


def map_table(scores: Sequence[MapScore]) -> str:
    """Return one row per map."""
    rows = []
    for s in scores:
        given, found, true = (getattr(s, way).figures() for way in WAYS)
        rows.append(
            [
                s.name,
                f"{s.d_min:.2f}",
                str(int(s.k_given.true.sum())),
                *(f"{given[key]:.3f}" for key in ("rank1", "rank3", "recall")),
                *(f"{found[key]:.3f}" for key in ("rank1", "recall", "precision", "found_over_true")),
                f"{true['rank1']:.3f}",
                f"{s.seconds:.1f}",
            ]
        )
    header = ["map", "d_min (Å)", "residues", "rank-1", "rank-3", "recall", "K found: rank-1", "recall", "precision"]
    return markdown_table([*header, "found / true", "true instances: rank-1", "seconds"], rows)


def class_table(counts: ResidueCounts, voxels: VoxelCounts) -> str:
    """Return one row per residue class."""
    recall = np.diag(voxels.confusion) / np.maximum(voxels.confusion.sum(1), 1)
    rows = [
        [
            label,
            str(int(counts.true[i])),
            f"{counts.rank1[i] / max(1, counts.true[i]):.3f}",
            f"{counts.rank3[i] / max(1, counts.true[i]):.3f}",
            f"{counts.matched[i] / max(1, counts.true[i]):.3f}",
            f"{counts.rank1[i] / max(1, counts.found[i]):.3f}",
            f"{recall[i]:.3f}",
        ]
        for i, label in enumerate(LABELS)
    ]
    return markdown_table(["class", "residues", "rank-1", "rank-3", "recall", "label precision", "voxel recall"], rows)


def given_summary(scores: Sequence[GivenScore]) -> dict[str, Any]:
    """Return the figures over all residues of a set of maps whose residues were named where the model has them."""
    return {
        "maps": len(scores),
        "residues": int(sum(s.residues.true.sum() for s in scores)),
        "semantic_iou": total_voxels([s.voxels for s in scores]).mean_iou(),
        "given_locations": total([s.residues for s in scores]).figures(),
        "seconds": float(sum(s.seconds for s in scores)),
    }


def given_tables(name: str, scores: Sequence[GivenScore]) -> str:
    """Return all tables of one set of maps whose residues were named where the model has them."""
    rows = []
    for label, part in ((name, scores), *((s.name, [s]) for s in scores)):
        figures = given_summary(part)
        keys = ("rank1", "rank3", "label_precision", "label_recall")
        numbers = [figures["given_locations"][key] for key in keys] + [figures["semantic_iou"]]
        rows.append([label, str(figures["residues"]), *(f"{n:.3f}" for n in numbers), f"{figures['seconds']:.1f}"])
    header = ["maps", "residues", "rank-1", "rank-3", "label precision", "label recall", "semantic IoU", "seconds"]
    classes = class_table(total([s.residues for s in scores]), total_voxels([s.voxels for s in scores]))
    return markdown_table(header, rows) + "\n" + classes


def atom_table(scores: Sequence[MapScore]) -> str:
    """Return one row per atom of the backbone, with K given; empty if there were no votes for atoms."""
    figures = atom_figures([s.atoms for s in scores])
    rows = [[name, f"{f['median']:.2f}", f"{f['close']:.3f}"] for name, f in figures.items()]
    return markdown_table(["atom", "median error (Å)", f"within {CLOSE:g} Å"], rows) if rows else ""
