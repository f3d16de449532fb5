"""Simulated and experimental crystals, their labels, and the stream of windows."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import gemmi
import numpy as np
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry, read_index
from edseg_engine.dataset.labelled import KnownMap, random_rotation
from edseg_engine.dataset.packs import StructurePack, structures_of_split
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.dataset.simulate import (
    NOISE_FREE,
    SimulationOptions,
    sigma_a_coefficients,
    simulate_map,
    simulation_options,
)
from edseg_engine.errors import ModelFormatError, OptionError, TrainingDataError
from edseg_engine.labels import BACKGROUND, LABELS, N_LABELS, N_POINTS, PDB_NAMES, label_of_letter, label_of_residue
from edseg_engine.residues.known import KnownResidues, known_residues, owners
from places import CRYSTAL


def correlation_at_atoms(density: DensityMap, residues: KnownResidues) -> float:
    """Mean normalised density at the atoms: how well the model sits in the map."""
    values = [density.sample(xyz, None, (1, 1, 1), 1.0)[0, 0, 0] for xyz in residues.atoms[::7]]
    return float((np.mean(values) - density.values.mean()) / density.values.std())


def test_labels_cover_the_twenty_amino_acids() -> None:
    twenty = [name for label in LABELS for name in label.split("/")]
    assert len(set(twenty)) == 20
    assert {label_of_residue(name) for name in twenty} == set(range(N_LABELS))
    assert label_of_residue("VAL") == label_of_residue("THR") == LABELS.index("VAL/THR")
    assert label_of_residue("MSE") == LABELS.index("MET")
    assert label_of_residue("HOH") is None
    assert label_of_residue("DA") is None
    assert [label_of_letter(c) for c in "BZX"] == [LABELS.index("ASP/ASN"), LABELS.index("GLU/GLN"), None]
    assert PDB_NAMES[LABELS.index("ASP/ASN")] == "ASX"


def test_a_noise_free_simulation_fits_its_model_in_every_copy(crystal_model: gemmi.Structure) -> None:
    structure = crystal_model.clone()
    density = simulate_map(structure, 2.0, np.random.default_rng(0), NOISE_FREE)
    residues = known_residues(structure[0])
    assert density.periodic
    assert density.d_min == 2.0
    assert correlation_at_atoms(density, residues) > 2.0
    symmetry = Symmetry(density.cell, density.spacegroup)
    images = symmetry.images_in_box(residues.centroids[:3], np.zeros(3) - 40, np.zeros(3) + 40)
    sampled = [density.sample(p, None, (1, 1, 1), 1.0)[0, 0, 0] for p in images.positions]
    home = [density.sample(p, None, (1, 1, 1), 1.0)[0, 0, 0] for p in residues.centroids[:3]]
    np.testing.assert_allclose(sampled, np.array(home)[images.index], atol=0.02)


def test_errors_make_the_map_worse_with_the_size_asked_for(crystal_model: gemmi.Structure) -> None:
    def fit(options: SimulationOptions) -> float:
        structure = crystal_model.clone()
        density = simulate_map(structure, 2.5, np.random.default_rng(3), options)
        return correlation_at_atoms(density, known_residues(structure[0]))

    clean = fit(NOISE_FREE)
    mild = fit(SimulationOptions(coordinate_error=(0.05, 0.05)))
    harsh = fit(SimulationOptions(coordinate_error=(0.30, 0.30)))
    assert clean > mild > harsh > 0.3


def test_bulk_solvent_fills_the_holes_of_the_crystal(crystal_model: gemmi.Structure) -> None:
    def deepest(settings: list[str]) -> float:
        options = simulation_options([*settings, "anisotropy=0", "missing=0,0", "coordinate_error=0,0"])
        values = simulate_map(crystal_model.clone(), 2.5, np.random.default_rng(3), options).values
        return float(np.percentile((values - values.mean()) / values.std(), 2))

    assert deepest(["solvent=0,0"]) > deepest([]) + 0.1


def test_settings_of_the_simulation_are_read_and_wrong_ones_named() -> None:
    options = simulation_options(["missing=0,0.5", "anisotropy=0.3", "noise_free"])
    assert options == SimulationOptions(missing=(0.0, 0.5), anisotropy=0.3, noise_free=True)
    assert simulation_options([]) == SimulationOptions()
    for wrong in ("colour=1,2", "missing=0", "missing=a,b", "anisotropy", "noise_free=yes", "__class__=1"):
        with pytest.raises(OptionError, match="coordinate_error"):
            simulation_options([wrong])


def test_sigma_a_knows_a_good_model_from_a_bad_one() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    true = (rng.normal(size=n) + 1j * rng.normal(size=n)) * 50
    noise = (rng.normal(size=n) + 1j * rng.normal(size=n)) * 50
    inv_d2 = rng.uniform(0.01, 0.2, n)
    f_obs = np.abs(true).astype(np.float32)
    m_good, d_good = sigma_a_coefficients(f_obs, (0.97 * true + 0.2 * noise).astype(np.complex64), inv_d2)
    m_bad, d_bad = sigma_a_coefficients(f_obs, (0.3 * true + 0.95 * noise).astype(np.complex64), inv_d2)
    assert m_good.mean() > 0.85
    assert m_bad.mean() < 0.4
    assert d_good.mean() > 0.9 > 0.5 > d_bad.mean()


def test_a_bare_molecule_gets_a_box_and_hydrogen_free_labels() -> None:
    structure = gemmi.read_structure(str(CRYSTAL / "model.cif.gz"))
    structure.cell = gemmi.UnitCell()
    structure.spacegroup_hm = ""
    density = simulate_map(structure, 3.0, np.random.default_rng(1))
    assert density.spacegroup.number == 1
    residues = known_residues(structure[0])
    fractional = Symmetry(density.cell, density.spacegroup).to_fractional(residues.atoms)
    assert (fractional > 0).all()
    assert (fractional < 1).all()
    assert correlation_at_atoms(density, residues) > 1.0


def test_a_model_without_protein_is_refused() -> None:
    model = gemmi.Model(1)
    with pytest.raises(ModelFormatError, match="amino-acid"):
        known_residues(model)
    with pytest.raises(ModelFormatError, match="no atoms"):
        simulate_map(gemmi.Structure(), 2.0, np.random.default_rng(0))


def test_windows_label_density_in_any_orientation(crystal_map: DensityMap, crystal_residues: KnownResidues) -> None:
    crystal = KnownMap(crystal_map, crystal_residues)
    rng = np.random.default_rng(4)
    center = crystal_residues.centroids[40]
    for rotation in (np.eye(3), random_rotation(rng)):
        window = crystal.window(center, rotation, 32, 1.0, 2.0, 0.2)
        inside = window.classes != BACKGROUND
        assert 0.02 < inside.mean() < 0.5
        assert (window.density[inside] > 0.2).all()
        np.testing.assert_array_equal(inside, window.residues >= 0)
        # The points of all voxels are those of residues of the model or of their copies.
        points = window.points[window.residues[inside]]
        assert points.shape[1:] == (N_POINTS, 3)
        targets = center + (points[:, 0] - 15.5) @ rotation.T
        images = crystal.symmetry.images_in_box(crystal_residues.centroids, targets.min(0) - 1, targets.max(0) + 1)
        distance = np.linalg.norm(targets[:, None] - images.positions[None], axis=-1)
        assert distance.min(1).max() < 0.02
        np.testing.assert_array_equal(window.classes[inside], crystal_residues.labels[images.index[distance.argmin(1)]])
        n, ca, c, o, cb, following, previous = points[:, 1:].transpose(1, 0, 2)
        for a, b, length in ((n, ca, 1.46), (ca, c, 1.52), (c, o, 1.24), (ca, cb, 1.53), (ca, following, 3.8)):
            assert np.nanmedian(np.linalg.norm(a - b, axis=1)) == pytest.approx(length, abs=0.03)
        assert np.nanmedian(np.linalg.norm(previous - following, axis=1)) > 5.0
        # Looked at from H (here: against the sum of the bonds) CO, R and N of an L-amino acid stand clockwise.
        assert (np.einsum("ij,ij->i", np.cross(c - ca, cb - ca), n - ca) > 0).all()


def test_rotations_are_proper_and_spread_over_all_directions() -> None:
    rng = np.random.default_rng(0)
    rotations = np.array([random_rotation(rng) for _ in range(400)])
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (400, 3, 3)), atol=1e-9
    )
    assert np.abs(rotations.mean(0)).max() < 0.15


def test_water_is_background_and_unknown_amino_acids_are_ignored(crystal_model: gemmi.Structure) -> None:
    structure = crystal_model.clone()
    structure[0][0][10].name = "UNK"
    residues = known_residues(structure[0])
    symmetry = Symmetry(structure.cell, structure.find_spacegroup())
    unknown = np.array([structure[0][0][10][1].pos.tolist()])
    assert owners(residues, symmetry, unknown, 1.0)[0].tolist() == [-2]
    water = next(site.atom.pos for site in structure[0].all() if site.residue.is_water())
    assert owners(residues, symmetry, np.array([water.tolist()]), 0.5)[0].tolist() == [-1]


def make_index(folder: Path) -> None:
    shutil.copytree(CRYSTAL, folder / "1az5")
    with open(folder / "index.tsv", "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([["id", "split", "resolution"], ["1az5", "train", "2.0"]])


def test_experimental_data_are_cut_and_blurred(tmp_path: Path) -> None:
    make_index(tmp_path)
    entry = read_index(tmp_path, "train")[0]
    assert entry == ExperimentalEntry("1az5", "train", 2.0, tmp_path / "1az5")
    crystal = ExperimentalCrystal(entry)
    full, cut = crystal.density(2.0), crystal.density(3.0)
    blurred = crystal.density(2.0, b_add=80.0)
    assert cut.values.size < full.values.size
    assert correlation_at_atoms(full, crystal.residues) > correlation_at_atoms(blurred, crystal.residues) > 0.5
    wrong = crystal.density(2.0, phase_error=2.0, rng=np.random.default_rng(0))
    assert correlation_at_atoms(wrong, crystal.residues) < correlation_at_atoms(full, crystal.residues)


def test_the_index_may_say_more(tmp_path: Path) -> None:
    (tmp_path / "index.tsv").write_text(
        "id\tsplit\tresolution\tsequences\tr_free\n"
        "one\tdev\t2.0\tMKV|MKV|AC\t0.21\nother\tdev\t2.5\t\t\nthird\ttrain\t1.9\tMK\t0.3\n"
    )
    one, other = read_index(tmp_path, "dev")
    assert (one.sequences, one.r_free) == (("MKV", "MKV", "AC"), 0.21)
    assert (other.sequences, other.r_free) == ((), None)


@pytest.mark.parametrize(
    "text",
    [
        "id\tsplit\n1az5\ttrain\n",
        "id\tsplit\tresolution\n1az5\ttrain\n",
        "id\tsplit\tresolution\n1az5\ttrain\tfine\n",
        "split\tresolution\tid\ntrain\t2.0\n",
        "id\tsplit\tresolution\tr_free\n1az5\ttrain\t2.0\tlow\n",
        "id\tsplit\tresolution\n1az5\tdev\t2.0\n",
        'id\tsplit\tresolution\n"' + "x" * 200_000 + "\ttrain\t2.0\n",
    ],
)
def test_bad_indices_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.tsv").write_text(text)
    with pytest.raises(TrainingDataError, match=r"index\.tsv"):
        read_index(tmp_path, "train")


def test_crystals_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    entry = ExperimentalEntry("bad", "train", 2.0, tmp_path)
    shutil.copy(CRYSTAL / "model.cif.gz", tmp_path)
    with pytest.raises(TrainingDataError, match=r"data\.mtz"):
        ExperimentalCrystal(entry)
    (tmp_path / "data.mtz").write_bytes(b"no reflections")
    with pytest.raises(TrainingDataError, match=r"data\.mtz"):
        ExperimentalCrystal(entry)
    mtz = gemmi.read_mtz_file(str(CRYSTAL / "data.mtz.gz"))
    mtz.column_with_label("FWT").label = "OTHER"
    mtz.write_to_file(str(tmp_path / "data.mtz"))
    with pytest.raises(TrainingDataError, match=r"data\.mtz.*FWT"):
        ExperimentalCrystal(entry)
    shutil.copy(CRYSTAL / "data.mtz.gz", tmp_path / "data.mtz")
    with pytest.raises(TrainingDataError, match=r"data\.mtz"):  # compressed, but not called so
        ExperimentalCrystal(entry)
    (tmp_path / "data.mtz").unlink()
    shutil.copy(CRYSTAL / "data.mtz.gz", tmp_path)
    (tmp_path / "model.cif.gz").write_bytes(b"data_")
    with pytest.raises(ModelFormatError, match=r"model\.cif"):
        ExperimentalCrystal(entry)


def test_amplitudes_are_found_in_any_asymmetric_unit(tmp_path: Path) -> None:
    mtz = gemmi.read_mtz_file(str(CRYSTAL / "data.mtz.gz"))
    own = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, CRYSTAL))
    mtz.ensure_asu(True)  # that of TNT
    mtz.write_to_file(str(tmp_path / "data.mtz"))
    shutil.copy(CRYSTAL / "model.cif.gz", tmp_path)
    other = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.0, tmp_path))
    first, second = (
        crystal.initial_phases(2.5, TYPICAL["main-chain"], np.random.default_rng(0)) for crystal in (own, other)
    )
    assert len(first.miller) == len(second.miller)
    assert np.sort(first.amplitudes).tolist() == np.sort(second.amplitudes).tolist()


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"index\.tsv"):
        read_index(tmp_path, "train")
    with pytest.raises(TrainingDataError, match="neither packs"):
        structures_of_split(tmp_path, "train")
    (tmp_path / "train-00.npz").write_text("no pack")
    with pytest.raises(TrainingDataError, match="is not a pack"):
        StructurePack(tmp_path / "train-00.npz")
