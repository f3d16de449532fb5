"""What decisions do to models, labels and what is remembered of a map; without the engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from pymol import CmdException

from pymol_edseg.crystal import Crystal, Image, Neighbours, pymol_symbol
from pymol_edseg.journal import ACCEPTED
from pymol_edseg.resolutions import Reflections
from pymol_edseg.state import state_of
from tools.made_up import write_many

DATA = Path(__file__).with_name("data")


@pytest.fixture
def shown(cmd: Any) -> Any:
    """PyMOL with a result of 12 residues, nothing decided."""
    cmd.edseg_load(str(DATA / "run-1/result"))
    return cmd


def test_all_are_those_undecided(shown: Any) -> None:
    shown.edseg_reject("4-6")
    shown.edseg_accept("1", as_="ILE")
    assert shown.edseg_accept("all", as_="TRP") == (2, 3, 7, 8, 9, 10, 11, 12)
    decisions = state_of(shown).results["edseg_1"].decisions()
    assert [decisions[n].status for n in (4, 5, 6)] == ["rejected"] * 3
    assert decisions[1].identity == "ILE"
    assert shown.edseg_reject("all") == ()
    assert shown.edseg_accept("4") == (4,)  # a number means it


def test_least_confidence_is_in_per_cent_and_says_if_nothing_is_left(
    shown: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    confidences = sorted(100 * p.confidence for p in state_of(shown).results["edseg_1"].proposals)
    assert shown.edseg_label("rank1", (confidences[3] + confidences[4]) / 2) == 8
    capsys.readouterr()
    assert shown.edseg_label("rank1", 99.9) == 0
    assert f"the highest is {confidences[-1]:.0f} %" in capsys.readouterr().out
    assert shown.edseg_label("rank1", 0.5) == 12
    assert "per cent" in capsys.readouterr().out
    for wrong in (-1, 101, "nan"):
        with pytest.raises(CmdException, match="from 0 to 100"):
            shown.edseg_label("rank1", wrong)


def test_models_know_their_crystal(shown: Any, tmp_path: Path) -> None:
    shown.edseg_accept("1-5")
    data = state_of(shown).results["edseg_1"].data
    shown.save(str(tmp_path / "model.pdb"), "edseg_1_model")
    structure = gemmi.read_structure(str(tmp_path / "model.pdb"))
    assert structure.cell.parameters == pytest.approx(data.cell)
    assert structure.spacegroup_hm == data.spacegroup
    assert [residue.segment for residue in structure[0]["A"]] == [""] * 5


@pytest.mark.parametrize("name", ["P 32 2 1", "C 1 2 1", "R 3 2:H", "R 3:R", "I 2 3", "P 1"])
def test_neighbours_are_the_nearest_copies(name: str) -> None:
    group = gemmi.SpaceGroup(name)
    cells = {
        "P 32 2 1": (40, 40, 50, 90, 90, 120),
        "R 3 2:H": (40, 40, 50, 90, 90, 120),
        "C 1 2 1": (50, 30, 40, 90, 105, 90),
    }
    cells |= {"R 3:R": (40, 40, 40, 95, 95, 95), "I 2 3": (45, 45, 45, 90, 90, 90), "P 1": (30, 35, 40, 80, 95, 100)}
    cell = gemmi.UnitCell(*cells[name])
    rng = np.random.default_rng(0)
    built = rng.uniform(-20, 40, (15, 3)).tolist()
    crystal = Crystal(cell.parameters, group.xhm())
    neighbours = Neighbours(crystal, built, 7.5)
    for number in range(len(crystal.operations)):
        image = Image(number, (1, 0, -2))
        assert crystal.move(crystal.inverse(image), crystal.move(image, (1, 2, 3))) == pytest.approx((1, 2, 3))
    for position in rng.uniform(-40, 60, (20, 3)).tolist():
        uvw = cell.fractionalize(gemmi.Position(*position)).tolist()
        images = [gemmi.Fractional(*op.apply_to_xyz(uvw)) for op in group.operations()]
        expected = min(
            cell.find_nearest_image(gemmi.Position(*other), cell.orthogonalize(image), gemmi.Asu.Any).dist()
            for other in built
            for image in images
        )
        contact = neighbours.nearest(position)
        assert contact is not None
        placed = crystal.move(contact.image, position)
        assert min(math.dist(placed, other) for other in built) == pytest.approx(expected, abs=1e-3)
        found = neighbours.within(position)
        assert (found is not None) == (expected < 7.5)
        assert found is None or found.distance == pytest.approx(expected, abs=1e-3)


def test_every_space_group_of_proteins_has_its_operations() -> None:
    for group in gemmi.spacegroup_table():
        if group.is_sohncke() and group.is_reference_setting():
            crystal = Crystal((50, 60, 70, 90, 90, 90), group.xhm())
            assert len(crystal.operations) == len(group.operations()), (group.xhm(), pymol_symbol(group.xhm()))
            assert crystal.move(Image(), (1, 2, 3)) == pytest.approx((1, 2, 3))


def test_accepted_residues_join_the_model_where_it_is(shown: Any) -> None:
    result = state_of(shown).results["edseg_1"]
    a, b, _ = result.data.cell[:3]
    # A model of the neighbours of the first residues, in another cell of the crystal.
    for number in (1, 2):
        x, y, z = result.by_id[number].position
        shown.pseudoatom("partial", pos=[x + a + 4, y - 2 * b, z], resi=str(number), chain="A", name="CA")
    assert shown.edseg_accept("1-2", model="partial") == (1, 2)
    joined = {int(atom.resi): atom for atom in shown.get_model("%partial and chain B").atom}
    for number in (1, 2):
        x, y, z = result.by_id[number].position
        assert joined[number].coord == pytest.approx([x + a, y - 2 * b, z], abs=0.01)
    shown.edseg_undo()
    assert shown.count_atoms("partial") == 2


def test_resolution_of_a_map_is_remembered(cmd: Any, tmp_path: Path) -> None:
    density = write_many(tmp_path / "one", 4) / "density.ccp4"
    other = write_many(tmp_path / "other", 40) / "density.ccp4"
    cmd.load(str(density), "density")
    known = state_of(cmd).resolutions
    known.remember(cmd, "density", 2.3)
    cmd.save(str(tmp_path / "session.pse"))
    cmd.reinitialize()
    state_of(cmd).resolutions.known.clear()
    cmd.load(str(tmp_path / "session.pse"))
    assert state_of(cmd).resolutions.find(cmd, "density") == 2.3
    cmd.set_name("density", "renamed")
    assert state_of(cmd).resolutions.find(cmd, "renamed") == 2.3
    cmd.translate([5, 0, 0], object="renamed")
    assert state_of(cmd).resolutions.find(cmd, "renamed") == 2.3
    cmd.load(str(other), "density")  # another map of the old name
    assert state_of(cmd).resolutions.find(cmd, "renamed") == 2.3
    assert state_of(cmd).resolutions.find(cmd, "density") is None
    assert state_of(cmd).resolutions.find(cmd, "nothing") is None


def test_file_of_a_map_is_remembered_while_it_is_the_same(cmd: Any, tmp_path: Path) -> None:
    cmd.load(str(write_many(tmp_path / "one", 4) / "density.ccp4"), "density")
    file = tmp_path / "data.mtz"
    file.write_bytes(b"reflections")
    known = state_of(cmd).resolutions
    known.remember(cmd, "density", 2.3, Reflections.of(file, ("--f", "FWT")))
    known.remember(cmd, "density", 2.5)  # as a run does
    cmd.save(str(tmp_path / "session.pse"))
    known.known.clear()
    cmd.load(str(tmp_path / "session.pse"))
    source = known.source(cmd, "density")
    assert source is not None
    assert (source.path, source.words, known.find(cmd, "density")) == (str(file), ("--f", "FWT"), 2.5)
    file.write_bytes(b"other reflections")
    assert known.source(cmd, "density") is None
    stored = known.to_json()
    stored["density"][2]["words"] = ["--out", "elsewhere"]
    known.known.clear()
    known.update(stored)
    assert known.known == {}


def test_decisions_by_confidence_comments_and_the_log(
    cmd: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cmd.edseg_load(str(DATA / "run-1/result"))
    result = state_of(cmd).results["edseg_1"]
    ordered = sorted(result.proposals, key=lambda p: p.confidence)
    low, high = 100 * ordered[3].confidence + 0.01, 100 * ordered[8].confidence
    assert set(cmd.edseg_reject("all", below=low)) == {p.id for p in ordered[:4]}
    assert set(cmd.edseg_accept("all", min_confidence=high)) == {p.id for p in ordered[8:]}
    number = ordered[5].id
    cmd.edseg_comment(number, "two  places", quiet=0)
    cmd.edseg_relabel(number, as_="t", quiet=0)
    said = capsys.readouterr().out
    assert "1 residue commented on." in said
    assert "1 residue is now THR." in said
    lines = cmd.edseg_log(quiet=1)
    assert [line.partition("  ")[2].partition(" (")[0] for line in lines] == [
        "4 residues rejected",
        "4 residues accepted in edseg_1_model",
        "1 residue commented on: two places",
        "1 residue relabelled as THR",
    ]
    cmd.edseg_undo()
    cmd.edseg_log(str(tmp_path / "log.txt"))
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines() == lines[:3]
    cmd.edseg_export(str(tmp_path / "all.csv"))
    assert ",undecided,two places" not in (tmp_path / "all.csv").read_text(encoding="utf-8")
    assert ",two places\n" in (tmp_path / "all.csv").read_text(encoding="utf-8")
    for arguments in ({"min_confidence": "high"}, {"min_confidence": 101}, {"min_confidence": "nan"}):
        with pytest.raises(CmdException, match="min_confidence must be"):
            cmd.edseg_accept("all", **arguments)
    cmd.delete("edseg_1*")
    cmd.reinitialize()
    (folder,) = tmp_path.glob("runs/*")
    cmd.edseg_load(str(folder))
    again = state_of(cmd).results["edseg_1"].decisions()
    assert (again[number].comment, again[ordered[-1].id].status) == ("two places", ACCEPTED)
