"""The ends of chains are extended where there is density, and residues that stand alone do no harm."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.building.coot_engine import polish
from edseg_engine.building.records import MapFile, Model
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from edseg_engine.progress import ignore_progress
from engine import needs_engine
from places import MTZ

#: The last residue of a sequence that is cut short after it.
LAST = 40


@needs_engine
@pytest.mark.parametrize("alone", [LAST, 30])
def test_a_residue_that_stands_alone_is_extended_within_its_sequence(
    crystal_model: gemmi.Structure, tmp_path: Path, alone: int
) -> None:
    structure = crystal_model.clone()
    structure.setup_entities()
    structure.remove_ligands_and_waters()
    structure.remove_empty_chains()
    chain = structure[0][0]
    letters = {residue.seqid.num: gemmi.one_letter_code([residue.name]) for residue in chain}
    known = {residue.seqid.num: np.array(residue["CA"][0].pos.tolist()) for residue in chain}
    for place in reversed(range(len(chain))):
        if chain[place].seqid.num not in (*range(1, 13), alone):
            del chain[place]
    model = Model(structure, {chain.name: "".join(letters.get(n, "G") for n in range(1, LAST + 1))}, {})
    density = read_map(MTZ)
    write_ccp4(density.values, density.grid, tmp_path / "map.ccp4")
    polished = polish(model, MapFile(tmp_path / "map.ccp4"), None, tmp_path, ignore_progress, 3.0).structure[0][0]
    built = {residue.seqid.num: np.array(residue["CA"][0].pos.tolist()) for residue in polished}
    assert alone in built
    assert max(built) <= LAST
    assert len(built) > 13, "the end of the stretch, or the residue alone, is extended"
    errors = [np.linalg.norm(known[number] - place) for number, place in built.items()]
    assert np.median(errors) < 0.5
