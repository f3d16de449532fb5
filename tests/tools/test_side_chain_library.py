"""The library of side chains is made of structures."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest

from places import MODEL
from tools.side_chains import main


def test_a_library_of_one_structure(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1az5.cif.gz").write_bytes(MODEL.read_bytes())
    out = tmp_path / "library.json"
    assert main(["--structures", str(tmp_path), "--out", str(out)]) == 0
    library = json.loads(out.read_text(encoding="ascii"))
    types = {residue.name for chain in gemmi.read_structure(str(MODEL))[0] for residue in chain.get_polymer()}
    assert set(library) == types - {"GLY"}
    for name, of in library.items():
        positions = np.array(of["positions"])
        assert positions.shape == (len(of["shares"]), len(of["atoms"]), 3)
        assert "CB" in of["atoms"]
        assert ("CZ" in of["atoms"]) == (name in ("ARG", "PHE", "TYR"))
        # Bonded atoms lie 1.5 Å apart: nothing of the main chain is among them, and all is in Å.
        distance = np.linalg.norm(positions[:, of["atoms"].index("CB")], axis=1)
        np.testing.assert_allclose(distance, 1.53, atol=0.1)
    assert sum(sum(of["shares"]) for of in library.values()) == pytest.approx(1.0, abs=1e-3)
