"""Where the checkout and the real data that ship with it are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
#: PDB entry 1AZ5: 2.0 Å, P 32 2 1, 95 residues.
CRYSTAL = DATA / "1az5"
MTZ, MODEL = CRYSTAL / "data.mtz.gz", CRYSTAL / "model.cif.gz"
