"""The commands of those who train and judge networks, on the crystal that ships with the repository."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edseg_engine.cli import main
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import DependencyError, ModelFormatError, OptionError, ResolutionError, WeightsError
from edseg_engine.evaluation.metrics import calibration_error, chance_calibration_error, reliability
from edseg_engine.io.read import read_map
from edseg_engine.networks.card import Calibration, WeightsCard, WeightsInfo
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import Weights, load_weights, weights_folder
from edseg_engine.resolution import range_by_name
from edseg_engine.training.plot import read_log
from edseg_engine.training.windows import DataOptions, WindowStream
from places import CRYSTAL, MODEL, MTZ
from tiny_training import TINY, TINY_DENSE, arguments, training_folder
from tools import accuracy, accuracy_page, benchmark, loss_shares, phase_shells, throughput, timing
from tools.timing import compare, write_cube


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one structure to simulate and one experimental crystal."""
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        (folder / split).mkdir()
        shutil.copy(MODEL, folder / split / "1az5.cif.gz")
    shutil.copytree(CRYSTAL, folder / "1az5")
    with open(folder / "index.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(
            [["id", "split", "resolution"], ["1az5", "dev", "2.0"], ["1az5", "train", "2.0"]]
        )
    return folder


@pytest.fixture
def tiny() -> Weights:
    torch.manual_seed(0)
    shape = StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1))
    card = WeightsCard(range_by_name("high"), shape)
    return Weights(StackNet(shape).eval(), card, WeightsInfo("tiny", "0" * 64, 1.8, 2.5))


def test_simulate_writes_a_map_and_what_is_in_it(tmp_path: Path) -> None:
    assert main(["simulate", str(MODEL), "--resolution", "3", "--out", str(tmp_path), "--noise-free"]) == 0
    density = read_map(tmp_path / "model.ccp4")
    assert density.periodic
    assert density.spacegroup.number == 154
    with open(tmp_path / "model-residues.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 95
    heights = [density.sample([float(r[c]) for c in "xyz"], None, (1, 1, 1), 1.0)[0, 0, 0] for r in rows]
    assert np.mean(heights) > density.values.mean() + 0.8 * density.values.std()


def test_simulate_is_repeatable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["simulate", str(MODEL), "--resolution", "3.5", "--out", str(tmp_path / name), "--seed", "5"]) == 0
    a, b = (read_map(tmp_path / name / "model.ccp4").values for name in ("a", "b"))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_simulate_names_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.pdb"
    bad.write_text("not a model\n")
    assert main(["simulate", str(bad), "--resolution", "3", "--out", str(tmp_path / "o")]) == ModelFormatError.exit_code
    assert "bad.pdb" in capsys.readouterr().err
    assert main(["simulate", str(MODEL), "--resolution", "30", "--out", str(tmp_path)]) == ResolutionError.exit_code
    assert not (tmp_path / "o").exists()


def test_train_classifier_adds_one_to_weights(
    data: Path, tmp_path: Path, tiny: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.save(tmp_path / "tiny.safetensors")
    out = tmp_path / "out.safetensors"
    command = ["train", "classifier", str(tmp_path / "tiny.safetensors"), "--out", str(out), "--crystals", "2"]
    assert main([*command, "--structures", str(data), "--experimental", str(data)]) == 0
    assert "rank 1 is correct" in capsys.readouterr().out
    loaded = load_weights(out)
    assert loaded.residue_net is not None
    assert loaded.card.classifier["crystals"] == 2
    assert main(["train", "calibration", str(out), "--out", str(out), "--structures", str(data), "--maps", "1"]) == 0
    calibrated = load_weights(out)
    assert calibrated.card.calibration != Calibration()
    assert calibrated.residue_net is not None


def test_calibration_without_scikit_learn_says_what_to_install(
    data: Path, tmp_path: Path, tiny: Weights, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.delitem(sys.modules, "edseg_engine.training.calibration", raising=False)
    tiny.save(tmp_path / "tiny.safetensors")
    command = ["train", "calibration", str(tmp_path / "tiny.safetensors"), "--structures", str(data)]
    assert main([*command, "--out", str(tmp_path / "out.safetensors")]) == DependencyError.exit_code
    printed = capsys.readouterr()
    assert "scikit-learn" in printed.err
    assert "pip install '.[train]'" in printed.err
    assert printed.out == "", "no map is run in vain"


def test_evaluate_one_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    assert main(["evaluate", "--map", str(MTZ), "--model", str(MODEL), "--orientations", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| all (1 maps, 95 residues) | K given |" in printed
    assert "| TRP |" in printed
    figures = json.loads(out.read_text())
    assert figures["residues"] == 95
    for way in ("k_given", "k_found", "true_instances"):
        assert 0.4 < figures[way]["rank1"] <= figures[way]["rank3"] <= 1
    assert 0.5 < figures["instance_dice"] <= 1


@pytest.mark.parametrize(
    ("option", "message"), [("--given-locations", "leave --cycles away"), ("--alone", "vote for no atoms")]
)
def test_cycles_and_what_excludes_them(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--map", str(MTZ), "--model", str(MODEL), "--cycles", "2", option]
    assert main(command) == OptionError.exit_code
    assert message in capsys.readouterr().err


def test_calibration_of_cycles_is_kept_beside_the_other(data: Path, tmp_path: Path) -> None:
    weights, out = weights_folder() / "high.safetensors", tmp_path / "out.safetensors"
    command = ["train", "calibration", str(weights), "--out", str(out), "--structures", str(data), "--maps", "1"]
    assert main([*command, "--experimental", str(data), "--cycles", "2"]) == 0
    card, before = load_weights(out).card, load_weights(weights).card
    assert card.calibration == before.calibration
    assert card.cycles not in (None, before.cycles)
    assert card.calibration_of(2) == card.cycles
    assert card.calibration_of(1) == card.calibration


def test_evaluate_at_the_places_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    command = ["evaluate", "--map", str(MTZ), "--model", str(MODEL), "--orientations", "1", "--given-locations"]
    assert main([*command, "--alone", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| data.mtz.gz | 95 |" in printed
    assert "| TRP |" in printed
    figures = json.loads(out.read_text())
    given = figures["given_locations"]
    assert 0.8 < given["rank1"] < given["rank3"] <= given["recall"] == 1
    assert figures["semantic_iou"] > 0.7
    assert figures["residues"] == 95


def test_a_network_without_votes_needs_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its weights are trained, evaluated and refused by the commands that serve every network."""
    data = training_folder(tmp_path / "data")
    shutil.copytree(data / "train", data / "val")
    command = arguments(data, tmp_path / "run", 2, TINY_DENSE)
    assert main([*command, "--workers", "0", "--poor-phases-share", "0", "--validation-maps", "1"]) == 0
    validation = read_log(tmp_path / "run" / "validation.csv")
    assert validation["windows"] == [0, 2]
    assert validation["recall"] == [1, 1]
    weights = tmp_path / "run" / "low.safetensors"
    evaluate = ["evaluate", "--map", str(MTZ), "--model", str(MODEL), "--resolution", "4", "--orientations", "2"]
    evaluate += ["--weights", str(weights)]
    capsys.readouterr()
    assert main([*evaluate, "--given-locations"]) == 0
    assert "| data.mtz.gz | 95 |" in capsys.readouterr().out
    for refused in (
        evaluate,
        ["segment", str(MTZ), "--weights", str(weights), "--out", str(tmp_path / "out")],
        ["train", "calibration", str(weights), "--structures", str(data), "--out", str(tmp_path / "c.safetensors")],
        ["train", "classifier", str(weights), "--structures", str(data), "--out", str(tmp_path / "c.safetensors")],
    ):
        assert main(refused) == WeightsError.exit_code
        assert "cannot locate residues" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "c.safetensors").exists()


def test_evaluate_folders(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["evaluate", "--experimental", str(data), "--resolution", "3.0", "--culled", "--orientations", "1"]) == 0
    )
    printed = capsys.readouterr().out
    assert "| 1az5 | 3.00 | 95 |" in printed
    assert re.search(r"would be 0\.0\d\d with these residues, by chance", printed)
    assert main(["evaluate", "--structures", str(data), "--resolution", "2.2", "--orientations", "1"]) == 0
    assert "| 1az5 | 2.20 | 95 |" in capsys.readouterr().out
    assert main(["evaluate", "--structures", str(data)]) == OptionError.exit_code
    assert main(["evaluate", "--map", str(MTZ)]) == OptionError.exit_code


def test_calibration_error_is_zero_for_honest_confidence() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    right = rng.random(200_000) < confidence
    assert calibration_error(confidence, right) < 0.01
    assert calibration_error(np.full(1000, 0.9), np.zeros(1000, bool)) == pytest.approx(0.9)
    assert all(abs(mean - fraction) < 0.03 for _, mean, fraction in reliability(confidence, right))


def test_honest_confidence_of_few_residues_has_an_error_by_chance() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.random(120), rng.random(20_000)
    errors = [calibration_error(few, rng.random(120) < few) for _ in range(500)]
    assert chance_calibration_error(few) == pytest.approx(np.mean(errors), abs=0.005)
    assert chance_calibration_error(many) < 0.01 < 0.05 < chance_calibration_error(few)
    assert chance_calibration_error(np.ones(50)) == 0.0


def test_calibration_writes_weights_with_honest_probabilities(data: Path, tmp_path: Path, tiny: Weights) -> None:
    source, out = tmp_path / "tiny.safetensors", tmp_path / "out.safetensors"
    tiny.save(source)
    arguments = ["--structures", str(data), "--experimental", str(data), "--maps", "1"]
    assert main(["train", "calibration", str(source), "--out", str(out), *arguments]) == 0
    before, after = load_weights(source), load_weights(out)
    assert after.card.calibration not in (Calibration(), before.card.calibration)
    assert after.card.training == before.card.training
    for a, b in zip(before.net.parameters(), after.net.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_accuracy_page_holds_every_table(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Weights
) -> None:
    """Of the sets of maps one of each kind is measured, by a small network: the page is what is tested."""
    every = accuracy_page.sections
    kinds = ("better than 2.5 Å", "summed", "simulated, 3.0 Å, noise-free, culled")
    monkeypatch.setattr(
        accuracy_page,
        "sections",
        lambda *folders: [next(s for s in every(*folders) if kind in s.name) for kind in kinds],
    )
    monkeypatch.setattr(accuracy, "choose_weights", lambda path, resolution_range: tiny)
    page = tmp_path / "accuracy.md"
    assert accuracy.main(["--structures", str(data), "--experimental", str(data), "--out", str(page)]) == 0
    text = page.read_text()
    for heading in ("## All sets", "class by class", "confidence reliable", "as bad as real ones"):
        assert heading in text
    assert "noise-free, culled (1 maps, 95 residues)" in text
    assert "nan" not in text
    assert "](reliability.png)" in text
    assert (tmp_path / "reliability.png").stat().st_size > 10_000


def test_the_benchmark_compares_the_same_things(crystal_map: DensityMap, tiny: Weights) -> None:
    result = compare(crystal_map, 95, tiny)
    assert min(*result.network, *result.instances) > 0
    assert result.same_voxel_class > 0.9
    assert result.vote_distance < 0.2


def test_a_cube_is_filled_with_the_crystal(crystal_map: DensityMap, tmp_path: Path) -> None:
    write_cube(crystal_map, 60.0, 1.0, tmp_path / "cube.ccp4")
    cube = read_map(tmp_path / "cube.ccp4", resolution=2.0)
    assert not cube.periodic
    assert cube.values.shape == (60, 60, 60)
    inside = cube.sample(np.array(cube.grid.origin) + 20.0, None, (5, 5, 5), 1.0)
    expected = crystal_map.sample((20.0, 20.0, 20.0), None, (5, 5, 5), 1.0)
    np.testing.assert_allclose(inside, expected, atol=1e-4)


def test_bench_command_prints_what_averaging_costs(
    crystal_map: DensityMap, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cube(crystal_map, 24.0, 1.0, tmp_path / "cube.ccp4")
    monkeypatch.setattr(timing, "AVERAGING", ((1, 1), (4, 1)))
    assert benchmark.main([str(tmp_path / "cube.ccp4"), "--resolution", "2", "--averaging"]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    ratio = {(int(o), int(v)): float(r) for o, v, _, r in rows}
    assert ratio[1, 1] == 1
    assert ratio[4, 1] > 1.2


def test_bench_command_prints_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main([str(MTZ), "--cube", "20", "--orientations", "1"]) == 0
    assert "| box |" in capsys.readouterr().out


def test_shares_of_the_losses(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_FILLING", 2)
    small = replace(range_by_name("medium"), window=24)
    stream = iter(WindowStream(DataOptions(data, pool=2), small, (1,)))
    (batch,) = throughput.training_batches(stream, 2, torch.device("cpu"), 1)
    for config, terms in ((replace(TINY, points=1), 3), (TINY_DENSE, 1)):
        parts = list(loss_shares.measure_shares(config, batch, small))
        assert [part for part, _, _ in parts[:3]] == ["network", "cross-entropy", "thesis"]
        assert len(parts) == 3 + terms
        (_, network, whole), *losses = parts
        assert whole == 1
        assert all(share == pytest.approx(seconds / (seconds + network)) for _, seconds, share in losses)
        assert all(0 < share < 1 for _, _, share in losses)


def test_throughput_measures_every_form(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_ROUNDS", 1)
    monkeypatch.setattr(throughput, "_FILLING", 2)
    monkeypatch.setattr(throughput, "_BATCH", {"cpu": 1})
    some = (throughput.VARIANTS[0], throughput.VARIANTS[1])
    options = DataOptions(data, pool=2)
    small = replace(range_by_name("high"), window=24)
    result = throughput.measure_throughput(options, small, torch.device("cpu"), lambda text: None, some)
    assert set(result.windows_per_second) == {variant.name for variant in some}
    assert min(result.windows_per_second.values()) > 0.01
    assert result.made_per_second > 0
    # Convolutions alone, forward and backward: 110 GFLOP of a window of twice this edge forward, by hand.
    assert 2.5 * 110e9 / 8 < result.flops_per_window < 3.5 * 110e9 / 8
    assert result.peak > 1e9


def test_poor_phases_are_as_poor_in_simulated_maps(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert phase_shells.main(["--structures", str(data), "--experimental", str(data)]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:-1]]
    shells = {(row[0], row[1]): [float(cell.split()[0]) for cell in row[3:]] for row in rows}
    assert len(shells) == 12  # the crystal's data do not end at 3 Å, so there it is simulated only
    for kind in ("main-chain", "mr", "experimental", "modified"):
        np.testing.assert_allclose(shells[kind, "2 Å, measured"], shells[kind, "2 Å, simulated"], atol=0.2)
    assert shells["mr", "2 Å, measured"][-1] < shells["main-chain", "2 Å, measured"][-1] < 0.9
    assert shells["experimental", "2 Å, measured"][-1] < shells["experimental", "2 Å, measured"][0]


def test_a_map_correlates_with_itself_in_all_shells() -> None:
    density = read_map(MTZ)
    assert density.d_min is not None
    np.testing.assert_allclose(phase_shells.shell_correlations(density, density, density.d_min), 1, atol=1e-6)
