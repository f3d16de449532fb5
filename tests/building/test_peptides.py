"""Peptides and side chains that point the wrong way are turned."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from edseg_engine.building.coot_engine import polish
from edseg_engine.building.records import MapFile, Model
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.mtz import map_columns, write_mtz
from edseg_engine.io.read import read_map
from edseg_engine.progress import ignore_progress
from engine import needs_engine
from places import MTZ

#: Residue with a large side chain.
TRYPTOPHAN = 6


def position(chain: gemmi.Chain, number: int, name: str) -> np.ndarray:
    return np.array(chain[str(number)][0][name][0].pos.tolist())


def turn(chain: gemmi.Chain, number: int) -> None:
    """Turn the peptide after a residue by half a turn about the line between its CA and the next."""
    first, second = position(chain, number, "CA"), position(chain, number + 1, "CA")
    half_turn = Rotation.from_rotvec(np.pi * (second - first) / np.linalg.norm(second - first))
    for place, name in ((number, "C"), (number, "O"), (number + 1, "N")):
        moved = first + half_turn.apply(position(chain, place, name) - first)
        chain[str(place)][0][name][0].pos = gemmi.Position(*moved.tolist())


def turn_side_chain(chain: gemmi.Chain, number: int) -> None:
    """Turn a side chain by a third of a turn about CA and CB."""
    first, second = position(chain, number, "CA"), position(chain, number, "CB")
    third = Rotation.from_rotvec(2 * np.pi / 3 * (second - first) / np.linalg.norm(second - first))
    for atom in chain[str(number)][0]:
        if atom.name not in ("N", "CA", "C", "O", "CB"):
            atom.pos = gemmi.Position(*(second + third.apply(np.array(atom.pos.tolist()) - second)))


def protein(crystal_model: gemmi.Structure) -> gemmi.Structure:
    structure = crystal_model.clone()
    structure.setup_entities()
    structure.remove_ligands_and_waters()
    structure.remove_empty_chains()
    return structure


def add_water(structure: gemmi.Structure, place: np.ndarray) -> None:
    water = gemmi.Residue()
    water.name, water.seqid, water.het_flag = "HOH", gemmi.SeqId(1, " "), "H"
    oxygen = gemmi.Atom()
    oxygen.name, oxygen.element, oxygen.b_iso, oxygen.pos = "O", gemmi.Element("O"), 30.0, gemmi.Position(*place)
    water.add_atom(oxygen)
    chain = gemmi.Chain("W")
    chain.add_residue(water)
    structure[0].add_chain(chain)


def as_model(structure: gemmi.Structure) -> Model:
    chain = structure[0][0]
    letters = {residue.seqid.num: gemmi.one_letter_code([residue.name]) for residue in chain}
    return Model(structure, {chain.name: "".join(letters.get(n, "G") for n in range(1, max(letters) + 1))}, {})


def write_difference(structure: gemmi.Structure, path: Path) -> MapFile:
    """Write what the map shows and the structure does not explain."""
    mtz = gemmi.read_mtz_file(str(MTZ))
    miller = mtz.make_miller_array()
    shown = mtz.column_with_label("FWT").array * np.exp(1j * np.radians(mtz.column_with_label("PHWT").array))
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min = mtz.resolution_high()
    calculator.grid.setup_from(structure)
    calculator.put_model_density_on_grid(structure[0])
    explained = gemmi.transform_map_to_f_phi(calculator.grid).get_value_by_hkl(miller)
    scale = np.nansum(shown * explained.conj()).real / np.nansum(np.abs(explained) ** 2)
    write_mtz(path, mtz.cell, mtz.spacegroup, miller, map_columns(shown - scale * explained))
    return MapFile(path, "FWT", "PHWT")


@needs_engine
@pytest.mark.parametrize(("number", "by_difference"), [(20, False), (38, True)])
def test_what_is_turned_is_turned_back(
    crystal_model: gemmi.Structure, tmp_path: Path, number: int, by_difference: bool
) -> None:
    # That of residue 38 has allowed angles either way, so that only the difference map tells.
    structure = protein(crystal_model)
    chain = structure[0][0]
    expected = position(chain, number, "O")
    turn(chain, number)
    assert np.linalg.norm(position(chain, number, "O") - expected) > 2.0
    ring = position(chain, TRYPTOPHAN, "CH2")
    turn_side_chain(chain, TRYPTOPHAN)
    add_water(structure, ring)
    density = read_map(MTZ)
    write_ccp4(density.values, density.grid, tmp_path / "map.ccp4")
    difference = write_difference(structure, tmp_path / "difference.mtz") if by_difference else None
    mended = polish(as_model(structure), MapFile(tmp_path / "map.ccp4"), difference, tmp_path, ignore_progress, 3.0)
    assert np.linalg.norm(position(mended.structure[0][0], number, "O") - expected) < 0.6
    assert np.linalg.norm(position(mended.structure[0][0], TRYPTOPHAN, "CH2") - ring) < 0.6
    waters = [np.array(s.atom.pos.tolist()) for s in mended.structure[0].all() if s.residue.is_water()]
    assert all(np.linalg.norm(water - ring) > 2.0 for water in waters), "none is left in the place of the ring"
