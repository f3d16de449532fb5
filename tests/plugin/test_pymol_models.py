"""Accepted residues as atoms of a model: whole, in the right place of the crystal, numbered along the chain."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from places import MODEL
from pymol_edseg.crystal import Crystal, Image
from pymol_edseg.geometry import ideal_residue
from pymol_edseg.palette import class_of
from pymol_edseg.proposals import NEXT, PREVIOUS, Proposal
from pymol_edseg.state import state_of
from pymol_edseg.tracing import at_odds, trace

DATA = Path(__file__).with_name("data")
BACKBONE = ("N", "CA", "C", "O", "CB")
#: Residues of the shipped model that a result is made of, and the proposals' ids in their order.
FIRST, IDS = 21, (5, 2, 9, 1, 12, 7, 3, 11, 4, 10, 6, 8)
CRYSTAL = ((45.4, 45.4, 87.9, 90, 90, 120), "P 32 2 1")


@pytest.fixture(scope="module")
def chain() -> gemmi.Chain:
    structure = gemmi.read_structure(str(MODEL))
    structure.remove_alternative_conformations()
    return structure[0][0]


def atom_positions(residue: gemmi.Residue) -> dict[str, list[float]]:
    found = {atom.name: atom.pos.tolist() for atom in residue}
    if "CB" not in found:  # glycine's virtual one
        n, ca, c = (np.array(found[name]) for name in ("N", "CA", "C"))
        found["CB"] = (ca - 0.58 * np.cross(ca - n, c - ca) + 0.57 * (ca - n) - 0.54 * (c - ca)).tolist()
    return {name: found[name] for name in BACKBONE}


@pytest.fixture
def folder(chain: gemmi.Chain, tmp_path: Path) -> Path:
    """A result whose twelve proposals vote for the atoms of twelve residues of the shipped model."""
    data = json.loads((DATA / "run-1/result/result.json").read_text(encoding="utf-8"))
    pattern = data["residues"][0]
    data |= {"schema": "edseg-result/2", "cell": list(CRYSTAL[0]), "spacegroup": CRYSTAL[1], "residues": []}
    residues = [chain[str(FIRST + i)][0] for i in range(-1, 13)]
    for number, before, residue, after in zip(IDS, residues, residues[1:], residues[2:], strict=False):
        made = copy.deepcopy(pattern)
        made |= {"id": number, "position": np.mean([a.pos.tolist() for a in residue], 0).tolist()}
        made["ranks"][0]["label"] = class_of(residue.name)
        made["atoms"] = atom_positions(residue)
        made["atoms"] |= {"next CA": after["CA"][0].pos.tolist(), "previous CA": before["CA"][0].pos.tolist()}
        data["residues"].append(made)
    data["residues"].sort(key=lambda made: made["id"])
    write(tmp_path / "result", data)
    return tmp_path / "result"


def write(folder: Path, data: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps(data), encoding="utf-8")


def read(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def residues(cmd: Any, selection: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for atom in cmd.get_model(selection).atom:
        found.setdefault(int(atom.resi), {})[atom.name] = atom
    return found


def test_accepted_residues_are_whole(cmd: Any, folder: Path, chain: gemmi.Chain) -> None:
    cmd.edseg_load(str(folder))
    assert len(cmd.edseg_accept("all")) == 12
    model = residues(cmd, "edseg_1_model")
    assert list(model) == list(range(1, 13))
    for number, atoms in model.items():
        true = chain[str(FIRST + number - 1)][0]
        assert list(atoms) == [name for name in BACKBONE if name != "CB" or true.name != "GLY"]
        for name, atom in atoms.items():
            assert math.dist(atom.coord, true[name][0].pos.tolist()) < 0.4, (number, name)
            assert (class_of(atom.resn), atom.symbol, atom.segi) == (class_of(true.name), name[0], "")
    size = cmd.count_atoms("edseg_1_model")
    assert len({frozenset(bond.index) for bond in cmd.get_model("edseg_1_model").bond}) == size - 1  # no rings
    assert cmd.count_atoms("edseg_1_model and rep sticks") == size
    assert cmd.count_atoms("edseg_1_model and rep spheres") == 0


def test_models_are_crystals(cmd: Any, folder: Path, tmp_path: Path) -> None:
    cmd.edseg_load(str(folder))
    cmd.edseg_accept("1-6")
    cmd.symexp("mate_", "edseg_1_model", "edseg_1_model", 12)
    assert cmd.get_names("objects")[-1].startswith("mate_")
    for name in ("model.pdb", "model.cif"):
        cmd.save(str(tmp_path / name), "edseg_1_model")
        structure = gemmi.read_structure(str(tmp_path / name))
        assert structure.cell.parameters == pytest.approx(CRYSTAL[0])
        assert structure.spacegroup_hm == CRYSTAL[1]
        assert len(structure[0]["A"]) == 6


def test_numbers_follow_the_chain_and_stay(cmd: Any, folder: Path) -> None:
    cmd.edseg_load(str(folder))
    cmd.edseg_accept(str(IDS[7]))
    assert list(residues(cmd, "edseg_1_model")) == [8]
    cmd.edseg_accept(f"{IDS[6]}+{IDS[2]}")
    model = residues(cmd, "edseg_1_model")
    assert list(model) == [3, 7, 8]
    # One peptide bond, between 7 and 8.
    assert len(cmd.get_model("edseg_1_model").bond) == sum(len(atoms) - 1 for atoms in model.values()) + 1
    cmd.edseg_undo()
    assert list(residues(cmd, "edseg_1_model")) == [8]


def test_residues_without_neighbours_are_numbered_as_they_are_accepted(cmd: Any, folder: Path) -> None:
    data = read(folder)
    for made in data["residues"]:
        made["atoms"]["next CA"] = made["atoms"]["previous CA"] = [0, 0, 0]
    write(folder, data)
    cmd.edseg_load(str(folder))
    for number in (9, 2, 7):
        cmd.edseg_accept(number)
    places = {n: atoms["CA"].coord for n, atoms in residues(cmd, "edseg_1_model").items()}
    voted = {made["id"]: made["atoms"]["CA"] for made in data["residues"]}
    assert [min(voted, key=lambda n: math.dist(voted[n], places[i])) for i in (1, 2, 3)] == [9, 2, 7]
    assert len(places) == 3


def test_neighbours_across_symmetry_are_neighbours(cmd: Any, folder: Path) -> None:
    data, crystal = read(folder), Crystal(*CRYSTAL)
    for made in data["residues"][::2]:
        image = Image(made["id"] % 6, (1, 0, -1))
        made["position"] = crystal.move(image, made["position"])
        made["atoms"] = {name: crystal.move(image, xyz) for name, xyz in made["atoms"].items()}
    write(folder, data)
    cmd.edseg_load(str(folder))
    cmd.edseg_accept("all")
    assert state_of(cmd).results["edseg_1"].stretches == [list(IDS)]
    assert list(residues(cmd, "edseg_1_model")) == list(range(1, 13))


def test_residues_join_a_partial_model_in_its_copy(cmd: Any, folder: Path, chain: gemmi.Chain, tmp_path: Path) -> None:
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    structure[0].add_chain("A")
    crystal, image = Crystal(*CRYSTAL), Image(3, (1, -1, 2))
    for number in range(10, FIRST + 1):  # up to the residue of the first proposal
        structure[0]["A"].add_residue(chain[str(number)][0])
    for residue in structure[0]["A"]:
        for atom in residue:
            atom.pos = gemmi.Position(*crystal.move(image, atom.pos.tolist()))
    structure.write_pdb(str(tmp_path / "partial.pdb"))
    cmd.load(str(tmp_path / "partial.pdb"), "partial")
    cmd.edseg_load(str(folder))
    before = cmd.count_atoms("partial")
    assert set(cmd.edseg_accept("all", model="partial")) == set(IDS[1:])
    joined = residues(cmd, "partial and chain B")
    assert list(joined) == list(range(2, 13))
    # Also the residues that are far from what was there stay in the same copy.
    for number, atoms in joined.items():
        expected = crystal.move(image, chain[str(FIRST + number - 1)][0]["CA"][0].pos.tolist())
        assert math.dist(atoms["CA"].coord, expected) < 0.4, number
    assert cmd.get_symmetry("partial")[6] == CRYSTAL[1]
    cmd.edseg_undo()
    assert cmd.count_atoms("partial") == before


def test_copies_stay_when_more_is_accepted_and_after_a_session(cmd: Any, folder: Path) -> None:
    cmd.edseg_load(str(folder))
    result = state_of(cmd).results["edseg_1"]
    x, y, z = result.by_id[IDS[0]].anchor
    a = result.data.cell[0]
    cmd.pseudoatom("partial", pos=[x + a + 4, y, z], resi="1", chain="A", name="CA")
    for number in (IDS[5], IDS[11], IDS[1]):
        cmd.edseg_accept(number, model="partial")

    def places() -> dict[int, Any]:
        return {n: atoms["CA"].coord for n, atoms in residues(cmd, "partial and chain B").items()}

    three = places()
    assert {n for n, xyz in three.items() if math.dist(xyz, three[2]) < 25} == {2, 6, 12}
    cmd.edseg_accept("all", model="partial")
    assert {n: places()[n] for n in three} == three
    cmd.edseg_undo()
    result.placed.clear()
    cmd.edseg_accept("all", model="partial")
    assert {n: places()[n] for n in three} == three


def test_types_decide_about_atoms(cmd: Any, folder: Path) -> None:
    cmd.edseg_load(str(folder))
    cmd.edseg_accept("1", as_="TRP")
    assert {atom.resn for atom in cmd.get_model("edseg_1_model").atom} == {"TRP"}
    cmd.edseg_relabel("1", as_="GLY")
    assert [atom.name for atom in cmd.get_model("edseg_1_model").atom] == ["N", "CA", "C", "O"]


def test_ideal_residues_are_near_to_what_was_voted() -> None:
    rng = np.random.default_rng(3)
    rough = {"N": (-0.5, 1.4, 0), "CA": (0, 0, 0), "C": (1.5, 0, 0), "O": (2.1, 1.1, 0), "CB": (-0.5, -0.8, -1.2)}
    ideal = {name: np.array(xyz) for name, xyz in ideal_residue(rough).items()}
    for _ in range(20):
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation *= np.linalg.det(rotation)
        shift = rng.uniform(-50, 50, 3)
        there = {name: rotation @ xyz + shift for name, xyz in ideal.items()}
        found = ideal_residue({name: xyz.tolist() for name, xyz in there.items()})
        assert max(math.dist(found[name], xyz) for name, xyz in there.items()) < 1e-3
        noisy = ideal_residue({name: (xyz + rng.normal(0, 0.4, 3)).tolist() for name, xyz in there.items()})
        assert math.dist(noisy["N"], noisy["CA"]) == pytest.approx(1.459, abs=0.001)
        assert math.dist(noisy["C"], noisy["O"]) == pytest.approx(1.231, abs=0.001)
        assert max(math.dist(noisy[name], xyz) for name, xyz in there.items()) < 2.5


def test_neighbours_that_disagree() -> None:
    def proposal(number: int, x: float, towards: float = 3.8) -> Proposal:
        atoms = {"CA": (x, 0.0, 0.0), NEXT: (x + towards, 0.0, 0.0), PREVIOUS: (x - towards, 0.0, 0.0)}
        return Proposal(number, (x, 0.0, 0.0), (("ALA", 1.0),), {}, 1.0, 9, atoms)

    crystal = Crystal((90, 90, 90, 90, 90, 90), "P 1")
    chain = [proposal(i, 10 + 3.8 * i) for i in range(1, 5)]
    assert not at_odds(chain, crystal, trace(chain, crystal))
    turned = [*chain[:3], proposal(4, 10 + 3.8 * 4, -3.8)]
    assert at_odds(turned, crystal, trace(turned, crystal)) == {3, 4}
