"""Peptides that face the wrong way are turned."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from edseg_engine.building.coot_engine import polish
from edseg_engine.building.records import MapFile, Model
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from edseg_engine.progress import ignore_progress
from engine import needs_engine
from places import MTZ


def position(chain: gemmi.Chain, number: int, name: str) -> np.ndarray:
    return np.array(chain[str(number)][0][name][0].pos.tolist())


def turn(chain: gemmi.Chain, number: int) -> None:
    """Turn the peptide after a residue by half a turn about the line between its CA and the next."""
    first, second = position(chain, number, "CA"), position(chain, number + 1, "CA")
    half_turn = Rotation.from_rotvec(np.pi * (second - first) / np.linalg.norm(second - first))
    for place, name in ((number, "C"), (number, "O"), (number + 1, "N")):
        moved = first + half_turn.apply(position(chain, place, name) - first)
        chain[str(place)][0][name][0].pos = gemmi.Position(*moved.tolist())


@needs_engine
@pytest.mark.parametrize("number", [20, 77])
def test_a_turned_peptide_is_turned_back(crystal_model: gemmi.Structure, tmp_path: Path, number: int) -> None:
    structure = crystal_model.clone()
    structure.setup_entities()
    structure.remove_ligands_and_waters()
    structure.remove_empty_chains()
    chain = structure[0][0]
    expected = position(chain, number, "O")
    turn(chain, number)
    assert np.linalg.norm(position(chain, number, "O") - expected) > 2.0
    letters = {residue.seqid.num: gemmi.one_letter_code([residue.name]) for residue in chain}
    sequence = "".join(letters.get(n, "G") for n in range(1, max(letters) + 1))
    density = read_map(MTZ)
    write_ccp4(density.values, density.grid, tmp_path / "map.ccp4")
    model = Model(structure, {chain.name: sequence}, {})
    mended = polish(model, MapFile(tmp_path / "map.ccp4"), None, tmp_path, ignore_progress, 3.0)
    assert np.linalg.norm(position(mended.structure[0][0], number, "O") - expected) < 0.6
