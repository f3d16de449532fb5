"""A model against a map, from files to files."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.checking.check import ModelCheck, check
from edseg_engine.checking.files import CHECK_COLUMNS, CHECK_OUTPUT, check_to_json, pymol_script, write_check
from edseg_engine.cli import main
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.region import choose_region
from edseg_engine.inference.predict import VoxelPrediction
from edseg_engine.options import SegmentOptions
from edseg_engine.residues.known import KnownResidues, owners, voting_near_main_chain
from places import MODEL, MTZ, ROOT

OPTIONS = SegmentOptions(resolution=2.6, orientations=1, device="cpu")


@pytest.fixture(scope="module")
def checked() -> ModelCheck:
    return check(MODEL, MTZ, OPTIONS)


def test_the_right_model_fits(checked: ModelCheck) -> None:
    own = [residue.own for residue in checked.residues if residue.own is not None]
    assert len(checked.residues) == 95
    assert len(own) >= 93
    assert np.mean(own) > 0.8
    assert checked.shifts == ()
    assert sum(residue.doubtful for residue in checked.residues) <= 5
    assert checked.warnings == ()


def test_a_shifted_model_is_found_from_files(tmp_path: Path) -> None:
    structure = gemmi.read_structure(str(MODEL))
    protein = [r for r in structure[0][0] if r.name != "HOH"][:95]
    types = [residue.name for residue in protein]
    for i in range(20, 35):
        protein[i].name = types[i + 1]
    path = tmp_path / "shifted.cif"
    structure.make_mmcif_document().write_file(str(path))
    result = check(path, MTZ, OPTIONS)
    (shift,) = result.shifts
    names = [residue.name for residue in result.residues]
    assert shift.by == -1
    assert 18 <= names.index(shift.first) <= 25
    assert 30 <= names.index(shift.last) <= 37
    assert shift.built[:-1] == shift.fitting[1:]


def test_grouping_needs_no_side_chains(crystal_map: DensityMap, crystal_residues: KnownResidues) -> None:
    symmetry = choose_region(crystal_map, "auto").symmetry
    rng = np.random.default_rng(0)
    positions = crystal_residues.atoms[crystal_residues.residue_of_atom >= 0] + rng.normal(0, 0.3, 3)
    owner, centroids = owners(crystal_residues, symmetry, positions, 2.0)
    prediction = VoxelPrediction(
        np.arange(len(positions)),
        positions.astype(np.float32),
        (centroids + rng.normal(0, 0.3, centroids.shape)).astype(np.float32),
        np.full((len(positions), 17), 1 / 17, np.float16),
        np.ones(len(positions), np.float32),
    )
    members = voting_near_main_chain(crystal_residues, symmetry, prediction, 2.0).members
    assert (members == owner).mean() > 0.95


def test_files(checked: ModelCheck, tmp_path: Path) -> None:
    write_check(checked, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(CHECK_OUTPUT.names)
    content = json.loads((tmp_path / "out/check.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(check_to_json(checked)))
    with (tmp_path / "out/residues.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CHECK_COLUMNS
    assert [row["number"] for row in rows] == [residue["number"] for residue in content["residues"]]


def test_documented(checked: ModelCheck) -> None:
    page = (ROOT / "docs/checking.md").read_text(encoding="utf-8")
    content = check_to_json(checked)
    for name in (*CHECK_OUTPUT.names, *content, *content["residues"][0]):  # type: ignore[index]
        assert f"`{name}`" in page


def test_the_script_colours_a_model_with_any_names(tmp_path: Path, checked: ModelCheck) -> None:
    pytest.importorskip("pymol")
    structure = gemmi.read_structure(str(MODEL))
    structure[0][0].name = """a'b"c"""
    folder = tmp_path / "it's; delete all"
    folder.mkdir()
    path = folder / "model.cif"
    structure.make_mmcif_document().write_file(str(path))
    renamed = tuple(replace(r, name=replace(r.name, chain=structure[0][0].name), shift=1) for r in checked.residues)
    result = replace(checked, model=path, residues=renamed)
    script = tmp_path / "check.pml"
    script.write_text(pymol_script(result), encoding="ascii")
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import pymol2, sys\n"
        "with pymol2.PyMOL() as p:\n"
        "    p.cmd.do('@' + sys.argv[1])\n"
        "    p.cmd.sync()\n"
        "    b = {}\n"
        "    p.cmd.iterate('edseg_shifted and name CA', 'out[resi] = b', space={'out': b})\n"
        "    print(len(b), round(sum(x for x in b.values() if x >= 0), 2))\n"
    )
    done = subprocess.run([sys.executable, probe, script], capture_output=True, text=True, timeout=120)
    own = [residue.own for residue in result.residues if residue.own is not None]
    n, total = done.stdout.split()[-2:]
    assert int(n) == 95
    assert float(total) == pytest.approx(sum(own), abs=0.05)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["check", str(MODEL), str(MTZ), "--resolution", "2.6", "--orientations", "1", "--device", "cpu"]
    assert main([*arguments, "--out", str(out), "--progress", "none"]) == 0
    printed = capsys.readouterr().out
    assert "Register shifts  none found" in printed
    assert (out / "check.json").exists()
    assert main([*arguments, "--out", str(out)]) == 8
    assert main(["check", str(MTZ), str(MTZ), "--out", str(tmp_path / "other")]) == 10
    assert not (tmp_path / "other").exists()
