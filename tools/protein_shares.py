"""Print how often each label occurs in the training structures, and how far single proteins are from that.

    python -m tools.protein_shares STRUCTURES

The first are `SHARES` of `edseg_engine.residues.composition`, the last is what its `FARTHEST` rests on. Every third
structure.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.errors import ModelFormatError
from edseg_engine.labels import LABELS, N_LABELS
from edseg_engine.residues.composition import FEWEST, distance_from_proteins
from edseg_engine.residues.known import known_residues


def main(folder: Path) -> None:
    proteins = []
    for pack in structures_of_split(folder, "train"):
        for i in range(0, len(pack), 3):
            try:
                proteins.append(known_residues(pack[i][0]).labels)
            except ModelFormatError:
                continue
    labels = np.concatenate(proteins)
    shares = np.bincount(labels, minlength=N_LABELS) / len(labels)
    print(len(proteins), "structures,", len(labels), "residues")
    print(", ".join(f"{label} {share:.3f}" for label, share in zip(LABELS, shares, strict=True)))
    farthest = sorted((distance_from_proteins(p) for p in proteins if len(p) >= FEWEST), reverse=True)
    print(f"farthest with {FEWEST} residues or more:", ", ".join(f"{d:.2f}" for d in farthest[:5]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
