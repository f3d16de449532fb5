"""The files of a run, read back by the programs that would read them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edseg_engine import __version__
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.io.read import read_map
from edseg_engine.labels import ATOMS, BACKBONE, LABELS, PDB_NAMES
from edseg_engine.results.files import BACKBONE_FILES, CLASS_MAP_FILES, write_results
from edseg_engine.results.reading import read_results
from edseg_engine.results.records import ResidueProposal
from segmentations import box_maps, random_maps, segmentation


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.*")}


def test_json_holds_the_whole_run(tmp_path: Path) -> None:
    run = segmentation()
    write_results(run, tmp_path / "out")
    result = json.loads((tmp_path / "out/result.json").read_text(encoding="utf-8"))
    assert result["schema"] == "edseg-result/2"
    assert result["engine_version"] == __version__
    assert result["input"] == run.input
    assert result["options"]["n_residues"] == 40
    assert result["options"]["weights"] == "my/high.safetensors"
    assert result["cell"] == [51.25, 51.25, 80, 90, 103.5, 90]
    assert result["spacegroup"] == "P 1 21 1"
    assert result["resolution"] == 2.012
    assert result["weights"] == {"name": "high.safetensors", "sha256": "ab" * 32, "d_min": 1.8, "d_max": 2.5}
    assert result["timings"] == {"read": 0.123, "network": 12.0}
    assert result["warnings"] == ["The map is small."]
    assert [r["id"] for r in result["residues"]] == list(range(1, 41))
    for entry, residue in zip(result["residues"], run.residues, strict=True):
        assert entry["position"] == pytest.approx(residue.position, abs=6e-4)
        assert list(entry["probabilities"]) == list(LABELS)
        assert list(entry["probabilities"].values()) == pytest.approx(residue.probabilities, abs=6e-5)
        assert [rank["label"] for rank in entry["ranks"]] == [label for label, _ in residue.ranks]
        assert entry["ranks"][0]["probability"] == max(entry["probabilities"].values())


def test_csv_has_the_documented_columns(tmp_path: Path) -> None:
    run = segmentation()
    write_results(run, tmp_path / "out")
    with (tmp_path / "out/residues.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = ",".join(f"p_{label}" for label in LABELS)
    atoms = ",".join(f"{axis}_{atom}" for atom in ("N", "CA", "C", "O", "CB") for axis in "xyz")
    assert ",".join(rows[0]) == f"id,x,y,z,label1,p1,label2,p2,label3,p3,confidence,n_voxels,{classes},{atoms}"
    assert len(rows) == len(run.residues)
    for row, residue in zip(rows, run.residues, strict=True):
        assert [float(row[axis]) for axis in "xyz"] == pytest.approx(residue.position, abs=6e-4)
        assert int(row["n_voxels"]) == residue.n_voxels
        for rank, (label, p) in enumerate(residue.ranks, start=1):
            assert row[f"label{rank}"] == label
            assert row[f"p{rank}"] == row[f"p_{label}"] == f"{p:.4f}"


@pytest.mark.parametrize("spacegroup", ["P 1", "P 1 21 1", "I 1 2 1", "R 3:H", "R 3 2:H"])
def test_coordinate_files_keep_cell_and_space_group(tmp_path: Path, spacegroup: str) -> None:
    run = segmentation(spacegroup=spacegroup)
    write_results(run, tmp_path / "out")
    for name in ("centroids.pdb", "centroids.cif"):
        structure = gemmi.read_structure(str(tmp_path / "out" / name))
        assert structure.find_spacegroup() == run.spacegroup
        assert structure.cell.parameters == pytest.approx(run.cell.parameters, abs=1e-3)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(n=st.integers(0, 60), seed=st.integers(0, 10**6))
def test_coordinate_files_hold_the_residues(tmp_path: Path, n: int, seed: int) -> None:
    run = segmentation(n, seed=seed)
    write_results(run, tmp_path / "out", overwrite=True)
    for name in ("centroids.pdb", "centroids.cif"):
        structure = gemmi.read_structure(str(tmp_path / "out" / name))
        found = [(residue, residue[0]) for model in structure for chain in model for residue in chain]
        assert len(found) == n
        for (residue, atom), proposal in zip(found, run.residues, strict=True):
            assert residue.seqid.num == proposal.id
            assert residue.name == PDB_NAMES[LABELS.index(proposal.ranks[0][0])]
            assert atom.name == "CA"
            assert atom.pos.tolist() == pytest.approx(proposal.position, abs=6e-4)
            assert atom.b_iso == pytest.approx(100 * proposal.confidence, abs=6e-3)


def test_merged_classes_in_coordinate_files(tmp_path: Path) -> None:
    certain = [tuple(float(i == LABELS.index(label)) for i in range(len(LABELS))) for label in LABELS]
    residues = tuple(ResidueProposal(i + 1, (i, 0, 0), p, 0.5, 30) for i, p in enumerate(certain))
    write_results(replace(segmentation(), residues=residues), tmp_path / "out")
    names = [residue.name for residue in gemmi.read_structure(str(tmp_path / "out/centroids.pdb"))[0][0]]
    assert dict(zip(LABELS, names, strict=True)) == {
        **{label: label for label in LABELS if "/" not in label},
        "VAL/THR": "VAL", "ASP/ASN": "ASX", "GLU/GLN": "GLX",
    }  # fmt: skip


def test_ranks_in_remarks_and_in_their_own_mmcif_category(tmp_path: Path) -> None:
    run = segmentation()
    write_results(run, tmp_path / "out")
    lines = (tmp_path / "out/centroids.pdb").read_text(encoding="ascii").splitlines()
    assert max(map(len, lines)) <= 80
    remarks = [line.split()[2:] for line in lines if line.startswith("REMARK  99 A")]
    assert any("VAL STANDS FOR VAL/THR" in line for line in lines)
    block = gemmi.cif.read(str(tmp_path / "out/centroids.cif")).sole_block()
    columns = ["auth_asym_id", "auth_seq_id", "label_1", "p_1", "label_2", "p_2", "label_3", "p_3"]
    table = [list(row) for row in block.find("_edseg_residue.", columns)]
    expected = [
        ["A", str(residue.id), *(text for label, p in residue.ranks for text in (label, f"{p:.4f}"))]
        for residue in run.residues
    ]
    assert remarks == expected
    assert table == expected


def test_more_residues_than_a_pdb_chain_and_a_pdb_serial_can_number(tmp_path: Path) -> None:
    n = 100_010
    run = segmentation()
    many = tuple(replace(run.residues[i % 40], id=i + 1) for i in range(n))
    write_results(replace(run, residues=many), tmp_path / "out")
    for name in ("centroids.pdb", "centroids.cif"):
        model = gemmi.read_structure(str(tmp_path / "out" / name))[0]
        numbered = [(chain.name, residue.seqid.num) for chain in model for residue in chain]
        assert len(numbered) == n
        assert numbered[9998:10000] == [("A", 9999), ("B", 1)]
        assert numbered[-1] == ("K", 20)


def test_class_maps_of_a_box_lie_on_the_grid_of_the_input(tmp_path: Path) -> None:
    maps = box_maps()
    write_results(segmentation(class_maps=maps), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out/class_maps").iterdir()} == {
        label.replace("/", "-") + ".ccp4" for label in LABELS
    }
    for label, name in enumerate(CLASS_MAP_FILES):
        read = read_map(tmp_path / "out" / name)
        assert read.grid == maps.grid
        np.testing.assert_array_equal(read.values, maps.of_label(label))


def test_class_maps_of_a_whole_cell_are_periodic(tmp_path: Path) -> None:
    shape = (12, 16, 10)
    maps = random_maps(MapGrid(gemmi.UnitCell(30, 40, 50, 80, 95, 100), gemmi.SpaceGroup("P 1"), shape), shape)
    write_results(segmentation(class_maps=maps), tmp_path / "out")
    read = read_map(tmp_path / "out/class_maps/VAL-THR.ccp4")
    assert read.periodic
    np.testing.assert_array_equal(read.values, maps.of_label(LABELS.index("VAL/THR")))


@pytest.mark.parametrize("start", [(0, 0, 0), (2, -1, 4)])
def test_class_maps_keep_the_origin_of_a_map_that_is_no_crystal(tmp_path: Path, start: tuple[int, int, int]) -> None:
    cell = gemmi.UnitCell(16, 16, 16, 90, 90, 90)
    maps = random_maps(MapGrid(cell, gemmi.SpaceGroup("P 1"), (16, 16, 16), start, (12.5, -40.0, 7.25)), (8, 8, 8))
    write_results(segmentation(class_maps=maps), tmp_path / "out")
    read = read_map(tmp_path / "out/class_maps/ALA.ccp4")
    first = np.zeros((1, 3), int)
    np.testing.assert_allclose(read.grid.positions(first), maps.grid.positions(first), atol=1e-4)


def test_voted_atoms_are_written_where_there_are_any(tmp_path: Path) -> None:
    without = segmentation(5)
    rng = np.random.default_rng(3)
    residues = tuple(
        replace(r, atoms=tuple((x, y, z) for x, y, z in rng.normal(r.position, 2.0, (len(ATOMS), 3)).tolist()))
        for r in without.residues
    )
    write_results(without, tmp_path / "without")
    write_results(replace(without, residues=residues), tmp_path / "with")
    assert not set(BACKBONE_FILES) & {p.name for p in (tmp_path / "without").iterdir()}
    structure = gemmi.read_structure(str(tmp_path / "with" / "backbone.pdb"))
    assert structure.cell.a == pytest.approx(51.25)
    for residue, proposal in zip(structure[0][0], residues, strict=True):
        expected = BACKBONE[:4] if residue.name == "GLY" else BACKBONE
        assert tuple(atom.name for atom in residue) == expected
        for atom, xyz in zip(residue, proposal.atoms, strict=False):
            assert atom.pos.tolist() == pytest.approx(xyz, abs=6e-4)
    cif = gemmi.read_structure(str(tmp_path / "with" / "backbone.cif"))
    assert cif[0].count_atom_sites() == structure[0].count_atom_sites()
    rows = list(csv.DictReader((tmp_path / "with" / "residues.csv").open()))
    assert [float(row["z_CB"]) for row in rows] == pytest.approx([r.atoms[4][2] for r in residues], abs=6e-4)
    assert next(csv.DictReader((tmp_path / "without" / "residues.csv").open()))["x_N"] == ""
    back = read_results(tmp_path / "with")
    assert np.array([r.atoms for r in back.residues]) == pytest.approx(np.array([r.atoms for r in residues]), abs=6e-4)
    assert read_results(tmp_path / "without").residues[0].atoms == ()
