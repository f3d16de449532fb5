"""The fixed-resolution data of the thesis: which structures, what its maps hold, and how windows are cut."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial import cKDTree

from edseg_engine.cli import main
from edseg_engine.dataset.criteria import fold_of, unmet_criterion
from edseg_engine.dataset.thesis import CLAMP, CULLING, SETS, FixedSet, cropped, normalised, thesis_map, windows_of
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.io.read import read_map
from edseg_engine.labels import TYPES
from edseg_engine.residues.known import KnownResidues
from places import MODEL


def add(structure: gemmi.Structure, name: str, chain: str = "Z") -> gemmi.Structure:
    """Return the structure with a residue of one atom more."""
    structure = structure.clone()
    residue = gemmi.Residue()
    residue.name, residue.seqid = name, gemmi.SeqId(901, " ")
    residue.add_atom(structure[0][0][0][0])
    structure[0].add_chain(gemmi.Chain(chain)).add_residue(residue)
    return structure


def test_criteria(crystal_model: gemmi.Structure) -> None:
    def reason(structure: gemmi.Structure) -> str:
        return unmet_criterion(structure) or ""

    assert reason(crystal_model) == ""
    assert reason(add(crystal_model, "HOH")) == "", "waters are no ligands"
    assert "ligand (ATP in chain Z)" in reason(add(crystal_model, "ATP"))
    assert "ligand (ZN" in reason(add(crystal_model, "ZN"))
    assert "nucleic acid (DA" in reason(add(crystal_model, "DA"))
    assert "2 protein chains" in reason(add(crystal_model, "ALA"))
    electrons = crystal_model.clone()
    electrons.info["_exptl.method"] = "ELECTRON MICROSCOPY"
    assert "Electron microscopy" in reason(electrons)
    bare = crystal_model.clone()
    del bare.info["_exptl.method"]
    assert reason(bare) == ""
    bare.cell = gemmi.UnitCell()
    assert reason(bare) == "it has no crystal"
    dimer = crystal_model.clone()
    assembly = gemmi.Assembly("1")
    assembly.oligomeric_details = "dimeric"
    dimer.assemblies.append(assembly)
    assert "dimeric" in reason(dimer)


def test_folds_are_even_and_do_not_change() -> None:
    names = [f"{a}{b}{c}{d}" for a in "1234" for b in "abcdefgh" for c in "xyz" for d in "pqrst"]
    sizes = Counter(map(fold_of, names))
    assert set(sizes) == {1, 2, 3, 4, 5}
    assert max(sizes.values()) < 1.4 * min(sizes.values())
    assert [fold_of(name) for name in ("1az5", "1AZ5", "2b9r", "104l")] == [5, 5, 4, 4]


def test_normalisation_follows_the_text() -> None:
    values = np.array([-3.0, 0.0, 1.49, 1.5, 2.0, 2.5, 3.5, 30.0], np.float32)
    # Kept are 1.5, 2, 2.5, 3.5 and 30; less 1.5 these are 0, 0.5, 1, 2 and 28.5, whose median is 1.
    clamp = np.quantile([0, 0.5, 1, 2, 28.5], CLAMP)
    np.testing.assert_allclose(normalised(values), [0, 0, 0, 0, 0.5, 1, 2, clamp], rtol=1e-6)
    assert not normalised(np.zeros(5, np.float32)).any()


@pytest.mark.parametrize("fixed", SETS, ids=lambda fixed: f"{fixed.d_min:g}A")
def test_maps_hold_one_molecule_and_windows_cover_it(
    fixed: FixedSet, crystal_model: gemmi.Structure, crystal_residues: KnownResidues
) -> None:
    density, windows = thesis_map(crystal_model.clone(), fixed)
    again, _ = thesis_map(crystal_model.clone(), fixed)
    np.testing.assert_array_equal(density.values, again.values)
    assert density.cell.a / density.values.shape[0] == pytest.approx(fixed.d_min / 2)
    points = np.argwhere(density.values > 0)
    positions = density.grid.positions(points)
    atoms = crystal_residues.atoms[crystal_residues.residue_of_atom >= 0]
    assert cKDTree(atoms).query(positions)[0].max() <= CULLING + 1e-3
    heights = [density.sample(xyz, None, (1, 1, 1), 1.0)[0, 0, 0] for xyz in crystal_residues.points[:, 2]]
    assert np.mean(heights) > 0.3, "density is at the CA"
    # The inside of the windows, without their frames, covers every atom.
    first = windows.starts + fixed.frame
    last = windows.starts + fixed.window - fixed.frame
    places = (atoms - windows.origin) / fixed.spacing
    inside = ((places[:, None] >= first - 0.5) & (places[:, None] <= last - 0.5)).all(-1)
    assert inside.any(1).all()
    pieces = list(cropped(density, windows, fixed))
    assert {piece.shape for piece in pieces} == {(fixed.window,) * 3}
    assert len(pieces) == len(windows.counts)
    if len(pieces) == 1:
        assert pieces[0].sum() == density.values.sum()
        total = Counter(name.type for name in crystal_residues.names)
        assert dict(zip(TYPES, windows.counts[0].tolist(), strict=True)) == {t: total[t] for t in TYPES}


def test_modified_residues_count_as_their_parents(crystal_residues: KnownResidues) -> None:
    changed = tuple(replace(n, type="MSE") if n.type == "MET" else n for n in crystal_residues.names)
    before, after = (
        windows_of(r, SETS[0]).counts for r in (crystal_residues, replace(crystal_residues, names=changed))
    )
    np.testing.assert_array_equal(before, after)


def test_command(crystal_model: gemmi.Structure, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bound = tmp_path / "bound.cif"
    add(crystal_model, "ATP").make_mmcif_document().write_file(str(bound))
    (tmp_path / "page.pdb").write_text("<html>")
    odd = crystal_model.clone()
    odd.spacegroup_hm = "P 99"
    odd.write_pdb(str(tmp_path / "odd.pdb"))
    out = tmp_path / "out"
    models = [str(tmp_path / "page.pdb"), str(tmp_path / "odd.pdb"), str(MODEL), str(bound)]
    assert main(["simulate", *models, "--protocol", "thesis", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "bound: left out, it has a ligand (ATP" in printed
    assert "page.pdb cannot be read as PDB or mmCIF coordinates" in printed
    assert "odd: left out, odd has the unknown space group 'P 99'" in printed
    names = {f"model-{d}A{end}" for d in (2, 3, 4) for end in (".ccp4", "-windows.csv")}
    assert {path.name for path in out.iterdir()} == names | {"model-residues.csv", "proteins.csv"}
    density = read_map(out / "model-2A.ccp4")
    with open(out / "model-2A-windows.csv", newline="") as file:
        windows = list(csv.DictReader(file))
    assert len(windows) == 12
    with open(out / "model-residues.csv", newline="") as file:
        residues = list(csv.DictReader(file))
    position = [float(residues[40][c]) for c in "xyz"]
    assert density.sample(position, None, (1, 1, 1), 1.0)[0, 0, 0] > 0, "the map lies where the residues are"
    with open(out / "proteins.csv", newline="") as file:
        proteins = {row["name"]: row for row in csv.DictReader(file)}
    assert proteins["model"]["fold"] == str(fold_of("model"))
    assert proteins["bound"]["left_out"].startswith("it has a ligand")
    one = ["simulate", str(MODEL), "--protocol", "thesis", "--out", str(tmp_path / "one")]
    assert main([*one, "--resolution", "2.5"]) == OptionError.exit_code
    assert main(["simulate", str(bound), *one[2:]]) == TrainingDataError.exit_code
    assert not (tmp_path / "one").exists()
    assert main(["simulate", str(MODEL), "--out", str(tmp_path / "one")]) == OptionError.exit_code
    capsys.readouterr()
    twice = [str(MODEL), str(tmp_path / "model.pdb"), "--resolution", "3"]
    assert main(["simulate", *twice, "--out", str(tmp_path / "one")]) == OptionError.exit_code
    assert f"{MODEL} and {tmp_path / 'model.pdb'} would all be called model" in capsys.readouterr().err
