"""Built models beside true ones: what counts, whatever program wrote them, and wherever in the crystal they lie."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from edseg_engine.cli import main
from edseg_engine.crystal.origins import origin_shifts
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import ModelFormatError, OutputError
from edseg_engine.evaluation.boxes import match_boxes
from edseg_engine.evaluation.models import Comparison, compare
from edseg_engine.evaluation.protein import ProteinResidue
from edseg_engine.io.coordinates import read_model
from places import MODEL

#: Residues of the model, and of them those whose class VAL/THR, ASP/ASN or GLU/GLN has two types.
N, SHARED = 95, {"ASP": "ASN", "GLU": "GLN", "VAL": "THR"}


@pytest.fixture
def built(crystal_model: gemmi.Structure) -> gemmi.Structure:
    """A copy of the true model without its waters."""
    structure = crystal_model.clone()
    structure.remove_ligands_and_waters()
    structure.remove_empty_chains()
    return structure


def move(structure: gemmi.Structure, change: Callable[[gemmi.Fractional], gemmi.Fractional]) -> None:
    for site in structure[0].all():
        site.atom.pos = structure.cell.orthogonalize(change(structure.cell.fractionalize(site.atom.pos)))


def assert_perfect(comparison: Comparison, rms: float = 0.01) -> None:
    shares = (comparison.completeness, comparison.typed, comparison.placed, comparison.sequenced, comparison.linked)
    assert shares == (1.0,) * 5
    assert comparison.extra == 0
    assert comparison.rms_ca < rms
    assert comparison.rms_side_chain < rms
    for named in (comparison.by_boxes, comparison.by_centroids):
        assert (named.matched, named.rank1_matched, named.rank1_all) == (1.0, 1.0, 1.0)


def test_a_model_is_the_same_in_every_symmetry_copy(built: gemmi.Structure, crystal_model: gemmi.Structure) -> None:
    comparison = compare(built, crystal_model)
    assert (comparison.n_built, comparison.n_true, comparison.n_bonds) == (N, N, 93)
    assert_perfect(comparison)
    operation = list(built.find_spacegroup().operations())[4]
    for part, cells in ((slice(0, 40), (2, -1, 0)), (slice(40, None), (0, 0, 1))):  # each half in a copy of its own
        chain = built[0]["A"]
        for residue in list(chain)[part]:
            for atom in residue:
                x = built.cell.fractionalize(atom.pos)
                there = np.array(operation.apply_to_xyz(x.tolist())) + cells
                atom.pos = built.cell.orthogonalize(gemmi.Fractional(*there))
    broken = compare(built, crystal_model)
    assert broken.linked == pytest.approx(92 / 93), "the halves are no longer bonded"
    assert broken.placed == 1.0
    assert broken.rms_side_chain < 0.01


def test_another_origin_is_found(built: gemmi.Structure, crystal_model: gemmi.Structure) -> None:
    move(built, lambda x: gemmi.Fractional(x.x, x.y, x.z + 0.5))
    comparison = compare(built, crystal_model)
    assert comparison.origin == (0, 0, 0.5)
    assert_perfect(comparison)
    move(built, lambda x: gemmi.Fractional(x.x + 0.25, x.y, x.z))
    elsewhere = compare(built, crystal_model)
    assert elsewhere.completeness < 0.1, "a place that the space group does not allow"
    assert elsewhere.extra > 0.8


@pytest.mark.parametrize(
    ("group", "angles", "shift"),
    [
        ("P 1 21 1", (90, 103, 90), (0.5, 0.137, 0)),
        ("P 1", (84, 103, 97), (0.21, 0.137, 0.33)),
        ("P 61", (90, 90, 120), (0, 0, 0.71)),
        ("P 21 21 21", (90, 90, 90), (0, 0.5, 0.5)),
        ("R 3:R", (80, 80, 80), (0.3, 0.3, 0.3)),
    ],
)
def test_origins_along_polar_axes_are_found(
    built: gemmi.Structure, group: str, angles: tuple[float, ...], shift: tuple[float, ...]
) -> None:
    lengths = (75, 75, 75) if angles[0] != 90 or angles[2] == 120 else (52, 61, 75)
    built.cell, built.spacegroup_hm = gemmi.UnitCell(*lengths, *angles), group
    true = built.clone()
    for chain in true[0]:  # less than the model that is compared with it
        for i in reversed(range(20, 40)):
            del chain[i]
    move(built, lambda x: gemmi.Fractional(*(np.array(x.tolist()) - shift)))
    for i, residue in enumerate(built[0]["A"]):
        for atom in residue:  # errors of 0.5 Å
            atom.pos += gemmi.Position(0.5 * np.sin(i), 0.5 * np.cos(i), 0)
    comparison = compare(built, true)
    np.testing.assert_allclose(comparison.origin, shift, atol=0.003)
    assert comparison.placed == 1.0
    assert comparison.extra == pytest.approx(20 / 95)
    assert comparison.rms_ca < 0.55


def test_a_wrong_model_stays_where_it_is(built: gemmi.Structure) -> None:
    built.cell, built.spacegroup_hm = gemmi.UnitCell(52, 61, 75, 84, 103, 97), "P 1"
    true, rng = built.clone(), np.random.default_rng(0)
    for residue in built[0]["A"]:
        move = gemmi.Position(*rng.uniform(-30, 30, 3))
        for atom in residue:
            atom.pos += move
    comparison = compare(built, true)
    assert comparison.origin == (0, 0, 0)
    assert comparison.placed < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_fragment_stays_where_it_is(built: gemmi.Structure, seed: int) -> None:
    """A short one lies on some of the true residues wherever the origin may be."""
    built.cell, built.spacegroup_hm = gemmi.UnitCell(52, 61, 75, 84, 103, 97), "P 1"
    true, turn = built.clone(), Rotation.random(random_state=seed)
    chain = built[0]["A"]
    for i in reversed(range(12, N)):
        del chain[i]
    for site in built[0].all():
        site.atom.pos = gemmi.Position(*turn.apply(site.atom.pos.tolist()))
    assert compare(built, true).origin == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "number"), [("P 1", 1), ("P 1 21 1", 4), ("P 21 21 21", 8), ("F 2 3", 4), ("P 32 2 1", 2)]
)
def test_origins_of_a_space_group(name: str, number: int) -> None:
    symmetry = Symmetry(gemmi.UnitCell(50, 50, 50, 90, 90, 90), gemmi.SpaceGroup(name))
    shifts = origin_shifts(symmetry)
    assert len(shifts) == number
    point = np.array([0.123, 0.271, 0.369])
    orbit = point @ symmetry.rotations.transpose(0, 2, 1) + symmetry.translations
    for shift in shifts:  # copies of a moved point are the moved copies of the point
        there = (point + shift) @ symmetry.rotations.transpose(0, 2, 1) + symmetry.translations - shift
        difference = there[:, None] - orbit
        assert (np.abs(difference - difference.round()).max(-1) < 1e-6).any(1).all()


def test_a_sequence_may_leave_out_what_is_not_seen(built: gemmi.Structure, crystal_model: gemmi.Structure) -> None:
    numbers = [residue.seqid.num for residue in crystal_model[0]["A"].get_polymer()]
    assert numbers[-1] - numbers[0] + 1 > len(numbers)  # the numbers of the true model jump
    count_through(built)
    assert_perfect(compare(built, crystal_model))


def test_a_sequence_may_lack_a_residue(built: gemmi.Structure, crystal_model: gemmi.Structure) -> None:
    del built[0]["A"][30]  # one that is modified, perhaps
    count_through(built)
    assert compare(built, crystal_model).placed == pytest.approx((N - 1) / N)


def count_through(structure: gemmi.Structure) -> None:
    for number, residue in enumerate(structure[0]["A"], 1):
        residue.seqid.num = number


@pytest.mark.parametrize("letters", ["HGFEDCBA ", " ABCDEFGH"], ids=["thrombin", "antibody"])
def test_insertions_may_come_before_or_after_their_number(
    built: gemmi.Structure, crystal_model: gemmi.Structure, letters: str
) -> None:
    true = built.clone()
    for number, (ours, theirs) in enumerate(zip(built[0]["A"], true[0]["A"], strict=True)):
        ours.label_seq = theirs.label_seq = None
        ours.seqid = gemmi.SeqId(number + 1, " ")
        theirs.seqid = gemmi.SeqId(max(1, number - 7), letters[number] if number < 9 else " ")
    for i in reversed(range(50, 60)):
        del true[0]["A"][i]
    assert compare(built, true).placed == 1.0


def test_wrong_types_wrong_places_gaps_and_extras(built: gemmi.Structure, crystal_model: gemmi.Structure) -> None:
    chain = built[0]["A"]
    names = [residue.name for residue in chain]
    lookalikes = [i for i in range(30) if names[i] in SHARED][:6]
    for i in lookalikes:
        chain[i].name = SHARED[names[i]]
    for i in range(50, 62):  # a register shift
        chain[i].name = names[i + 1]
    shifted = sum(names[i] != names[i + 1] for i in range(50, 62))
    for residue in list(chain)[40:50]:
        for atom in residue:
            atom.pos += gemmi.Position(1.2, 0.6, 0)  # 1.3 Å: near, but not built
    extra = gemmi.Chain("X")
    for residue in list(chain)[0:7]:
        copy = extra.add_residue(residue)
        for atom in copy:
            atom.pos += gemmi.Position(0.05, 0, 0)
    for i in reversed(range(80, N)):
        del chain[i]
    built[0].add_chain(extra)
    c = compare(built, crystal_model)
    assert (c.n_built, c.n_true) == (80 + 7, N)
    assert c.completeness * N == pytest.approx(80 - 10)
    assert c.typed * N == pytest.approx(80 - 10 - 6 - shifted)
    assert c.placed <= c.typed
    assert c.sequenced * N == pytest.approx(80 - 6 - shifted)
    assert c.extra == pytest.approx(7 / 87)
    assert 0 < c.rms_ca < 0.05
    for named in (c.by_boxes, c.by_centroids):
        assert named.matched * N == pytest.approx(80)
        assert named.rank1_all == pytest.approx(named.matched * named.rank1_matched)
    right = 80 - sum(label(names[i]) != label(names[i + 1]) for i in range(50, 62))
    assert c.by_centroids.rank1_all * N == pytest.approx(right), "look-alikes share a class, shifted residues do not"


def label(name: str) -> str:
    return {**SHARED, **{b: b for b in SHARED.values()}}.get(name, name)


def test_numbers_and_chains_may_be_any(built: gemmi.Structure, crystal_model: gemmi.Structure) -> None:
    model = built[0]
    whole = list(model["A"].clone())
    model.remove_chain("A")
    for name, part, first in (("Q", whole[:30], 501), ("B", whole[30:62], 1), ("C", whole[62:], -20)):
        chain = gemmi.Chain(name)
        for number, residue in enumerate(part, first):
            residue.seqid = gemmi.SeqId(number, " ")
            residue.label_seq = None
            chain.add_residue(residue)
        model.add_chain(chain)
    c = compare(built, crystal_model)
    assert c.placed == 1.0
    assert c.linked == 1.0
    for chain in model:
        for residue in chain:
            residue.name = "UNK"
    unknown = compare(built, crystal_model)
    assert unknown.completeness == 1.0
    assert unknown.linked == 1.0
    assert (unknown.typed, unknown.placed, unknown.by_boxes.rank1_all) == (0, 0, 0)
    assert np.isnan(unknown.rms_side_chain)


def test_what_programs_write_is_read(built: gemmi.Structure, crystal_model: gemmi.Structure, tmp_path: Path) -> None:
    """Hydrogens, alternative conformations, selenomethionine, hetero groups and flipped rings, as a gzipped PDB."""
    chain = built[0]["A"]
    for residue in chain:
        if residue.name == "MET":
            residue.name, residue.het_flag = "MSE", "H"
            for atom in residue:
                if atom.name == "SD":
                    atom.name, atom.element = "SE", gemmi.Element("Se")
        if residue.name in ("PHE", "TYR"):
            for atom in residue:
                atom.name = {"CD1": "CD2", "CD2": "CD1", "CE1": "CE2", "CE2": "CE1"}.get(atom.name, atom.name)
    for atom in chain[20]:
        atom.altloc = "A"
    for atom in [atom.clone() for atom in chain[20]]:
        atom.altloc = "B"
        atom.pos += gemmi.Position(2, 2, 2)
        chain[20].add_atom(atom)
    hydrogen = chain[5].add_atom(chain[5][0])
    hydrogen.name, hydrogen.element = "H", gemmi.Element("H")
    hydrogen.pos += gemmi.Position(9, 9, 9)
    calcium = gemmi.Residue()
    calcium.name, calcium.seqid, calcium.het_flag = "CA", gemmi.SeqId(900, " "), "H"
    atom = gemmi.Atom()
    atom.name, atom.element, atom.pos = "CA", gemmi.Element("Ca"), gemmi.Position(1, 2, 3)
    calcium.add_atom(atom)
    chain.add_residue(calcium)
    built.spacegroup_hm = crystal_model.spacegroup_hm
    path = tmp_path / "built.pdb.gz"
    path.write_bytes(gzip.compress(built.make_pdb_string().encode()))
    report = tmp_path / "figures.json"
    assert main(["compare", str(path), str(MODEL), "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert figures["schema"] == "edseg-compare/1"
    assert figures["n_built"] == N
    assert figures["placed"] == figures["linked"] == 1.0
    assert figures["extra"] == 0
    assert figures["rms_side_chain"] < 0.01


def test_copies_of_a_chain_may_be_exchanged(crystal_model: gemmi.Structure) -> None:
    true = crystal_model.clone()
    true.remove_ligands_and_waters()
    true.spacegroup_hm = "P 1"
    second = true[0]["A"].clone()
    second.name = "B"
    operation = list(gemmi.SpaceGroup("P 32 2 1").operations())[3]
    for residue in second:
        for atom in residue:
            x = np.array(operation.apply_to_xyz(true.cell.fractionalize(atom.pos).tolist()))
            atom.pos = true.cell.orthogonalize(gemmi.Fractional(*x))
    true[0].add_chain(second)
    built = true.clone()
    built[0]["A"].name, built[0]["B"].name = "B2", "A2"
    for residue in built[0]["A2"]:
        residue.seqid.num += 100
        residue.label_seq = None
    c = compare(built, true)
    assert c.n_true == 2 * N
    assert_perfect(c)


def test_boxes_overlap_as_calculated_by_hand() -> None:
    def residue(*corners: tuple[float, float, float]) -> ProteinResidue:
        atoms = {name: np.array(xyz) for name, xyz in zip(("CA", "CB"), corners, strict=True)}
        return ProteinResidue("A", (1,), "ALA", atoms)

    box = residue((0, 0, 0), (2, 2, 2))
    half, third = residue((0, 0, 0), (2, 2, 1)), residue((1, 0, 0), (3, 2, 2))  # overlaps 1/2 and 1/3
    alone = Symmetry(gemmi.UnitCell(), gemmi.SpaceGroup("P 1"), periodic=False)
    pairs = match_boxes([third, half], [box], alone)
    assert (pairs.found.tolist(), pairs.true.tolist()) == ([1], [0])
    assert len(match_boxes([residue((5, 5, 5), (6, 6, 6))], [box], alone).found) == 0


def test_a_space_group_may_be_in_one_file_alone(
    built: gemmi.Structure, crystal_model: gemmi.Structure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some programs leave it out of the CRYST1 record."""
    lines = built.make_pdb_string().splitlines()
    path = tmp_path / "bare.pdb"
    path.write_text("\n".join(line[:54] if line.startswith("CRYST1") else line for line in lines))
    assert main(["compare", str(path), str(MODEL)]) == 0
    assert main(["compare", str(MODEL), str(path)]) == 0
    assert capsys.readouterr().out.count(f"100.0 %   {N} of {N}") == 8
    assert main(["compare", str(path), str(path)]) == ModelFormatError.exit_code
    assert "bare has a unit cell and no space group" in capsys.readouterr().err
    path.write_text("\n".join(line.replace("P 32 2 1", "P 99    ") for line in lines))
    assert main(["compare", str(path), str(MODEL)]) == ModelFormatError.exit_code
    assert "bare has the unknown space group 'P 99'" in capsys.readouterr().err


def test_without_main_chain_there_are_no_bonds_to_count(
    built: gemmi.Structure, crystal_model: gemmi.Structure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for residue in built[0]["A"]:
        for i in reversed(range(len(residue))):
            if residue[i].name != "CA":
                del residue[i]
    traced = compare(built, crystal_model)
    assert (traced.completeness, traced.n_bonds, traced.linked) == (1.0, 93, 0.0)
    true = compare(crystal_model, built)
    assert true.n_bonds == 0
    assert np.isnan(true.linked)
    built.write_pdb(str(tmp_path / "trace.pdb"))
    report = tmp_path / "figures.json"
    assert main(["compare", str(MODEL), str(tmp_path / "trace.pdb"), "--json", str(report)]) == 0
    assert json.loads(report.read_text())["linked"] is None
    assert "Peptide bonds (C-N within 1.7 Å)               -\n" in capsys.readouterr().out


def test_a_free_amino_acid_is_a_ligand(built: gemmi.Structure, crystal_model: gemmi.Structure, tmp_path: Path) -> None:
    true = crystal_model.clone()
    leucine = next(residue for residue in true[0]["A"] if residue.name == "LEU").clone()
    leucine.seqid, leucine.het_flag, leucine.entity_type = gemmi.SeqId(601, " "), "H", gemmi.EntityType.NonPolymer
    for atom in leucine:
        atom.pos += gemmi.Position(9, 9, 9)
    true[0]["A"].add_residue(leucine)
    assert compare(built, true).n_true == N
    true.write_pdb(str(tmp_path / "true.pdb"))
    assert compare(built, read_model(tmp_path / "true.pdb")).n_true == N


def test_other_crystals_and_files_without_protein_are_refused(
    built: gemmi.Structure, crystal_model: gemmi.Structure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = gemmi.UnitCell(*built.cell.parameters)
    built.cell = gemmi.UnitCell(cell.a * 1.004, cell.b * 1.004, cell.c, 90, 90, 120)
    assert compare(built, crystal_model).n_built == N, "a cell that was refined again"
    built.cell = gemmi.UnitCell(cell.a, cell.b, cell.c + 9, 90, 90, 120)
    with pytest.raises(ModelFormatError, match=r"c = [\d.]+ Å in the built model") as refusal:
        compare(built, crystal_model)
    assert "a =" not in str(refusal.value), "only what differs"
    built.cell, built.spacegroup_hm = cell, "P 31 2 1"
    with pytest.raises(ModelFormatError, match="has the space group P 31 2 1, the true one P 32 2 1"):
        compare(built, crystal_model)
    built.cell, built.spacegroup_hm = gemmi.UnitCell(), ""
    assert_perfect(compare(built, crystal_model))
    waters = crystal_model.clone()
    for chain in waters[0]:
        for i in reversed(range(len(chain))):
            if not chain[i].is_water():
                del chain[i]
    waters.make_mmcif_document().write_file(str(tmp_path / "waters.cif"))
    command = ["compare", str(tmp_path / "waters.cif"), str(MODEL), "--json", str(tmp_path / "figures.json")]
    assert main(command) == ModelFormatError.exit_code
    assert "The built model has no protein" in capsys.readouterr().err
    assert not (tmp_path / "figures.json").exists()
    assert main(["compare", str(MODEL), str(MODEL), "--json", str(MODEL)]) == OutputError.exit_code
