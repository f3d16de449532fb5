"""The experiments of the thesis, as commands, with small networks on the crystal that ships with the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edseg_engine.dataset.criteria import fold_of
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.evaluation.maps import simulated_maps
from edseg_engine.labels import LABELS
from edseg_engine.networks import architectures
from edseg_engine.networks.fc_densenet import FcDenseNetConfig
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.stacknet import StackNetConfig
from edseg_engine.networks.weights import load_weights
from edseg_engine.training.losses import make_loss
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.windows import CrystalSource, DataOptions
from small_experiments import NAMES, SMALL, experiment_folder, rows_of, run_twice, weights_file
from tiny_training import TINY, TINY_DENSE
from tools.experiments import (
    blocks,
    concatenations,
    confusion,
    cross_validation,
    fine_tuning,
    networks,
    padding,
    r_free,
    times,
)
from tools.experiments.core import fixed_range
from tools.experiments.results import Results
from tools.experiments.similarity import THESIS, blosum62, rank_correlation
from tools.experiments.windows import gradient_norms


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of the thesis, each with fewer channels and layers."""

    def smaller(config: NetworkConfig) -> NetworkConfig:
        if isinstance(config, FcDenseNetConfig):
            return replace(
                TINY_DENSE, levels=config.levels, concatenations=config.concatenations, padding=config.padding
            )
        assert isinstance(config, StackNetConfig)
        levels = len(config.widths)
        return replace(config, widths=(4,) * levels, blocks=(1,) * levels, concatenation_blocks=(0,) * levels)

    for name, config in architectures.SHAPES.items():
        monkeypatch.setitem(architectures.SHAPES, name, smaller(config))  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_networks")
def test_concatenations(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--structures", str(data), "--resolutions", "4", "--validation-windows", "2", *SMALL]
    rows = run_twice(concatenations.main, arguments, tmp_path, "concatenations")
    assert [row["network"] for row in rows] == ["fc-densenet49", "fc-densenet49-no-concatenations"]
    assert all(0 <= float(row["iou"]) < 1 and float(row["loss"]) > 0 for row in rows)
    gradients = rows_of(tmp_path / "gradients.csv")
    # A stem, four blocks of two layers on either way, a bottleneck of two, a head: for each of two networks.
    assert len(gradients) == 2 * (1 + 2 * 4 * 2 + 2 + 1)
    assert max(float(row["norm"]) for row in gradients) == 1
    assert "| 4 Å |" in capsys.readouterr().out
    changed = ["--structures", str(data), "--resolutions", "3", "--validation-windows", "2", *SMALL]
    assert concatenations.main([*changed, "--out", str(tmp_path)]) == OptionError.exit_code
    assert "other --resolutions" in capsys.readouterr().err


@pytest.mark.usefixtures("small_networks")
def test_without_padding_training_fails_in_windows_that_do_not_fit(data: Path, tmp_path: Path) -> None:
    arguments = ["--structures", str(data), "--validation-windows", "2", *SMALL]
    assert padding.main([*arguments, "--out", str(tmp_path)]) == 0
    rows = rows_of(tmp_path / "padding.csv")
    padded, bare, fitting, bare_fitting = ({**row, "network": ""} for row in rows)
    assert padded["outcome"] == "trained"
    assert "multiples of 16 voxels, not 36 x 36 x 36" in bare["outcome"]
    assert fitting == bare_fitting, "padding does nothing where maps fit"


def test_a_fold_is_left_out_of_training_and_kept_for_scores(data: Path) -> None:
    folds = [fold_of(name) for name in NAMES]
    assert len(set(folds)) == 2
    source = CrystalSource(DataOptions(data, left_out_fold=folds[0]), fixed_range(3.0))
    assert [source.packs[p].names[i] for p, i in source.crystals] == [NAMES[1]]
    maps = simulated_maps(data, "train", 3.0, DataOptions(data).simulation, fold=folds[0])
    assert [known.name for known in maps] == [NAMES[0]]


@pytest.mark.usefixtures("small_networks")
def test_cross_validation(data: Path, tmp_path: Path) -> None:
    folds = [str(fold_of(name)) for name in NAMES]
    arguments = ["--structures", str(data), "--resolutions", "4", "--folds", *folds, "--maps", "1", *SMALL]
    rows = run_twice(cross_validation.main, arguments, tmp_path, "cross_validation")
    assert [row["fold"] for row in rows] == folds
    assert all(0 <= float(row["rank1"]) <= float(row["rank3"]) <= 1 for row in rows)
    assert "| **4 Å** |" in (tmp_path / "cross_validation.md").read_text()


def test_confusion(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--structures", str(data), "--maps", "1", "--out", str(tmp_path)]
    assert confusion.main(arguments) == 0
    table = np.array([[int(row[label]) for label in LABELS] for row in rows_of(tmp_path / "confusion.csv")])
    assert 90 <= table.sum() <= 95, "nearly all have a voxel near to their atoms"
    assert np.trace(table) > 20, "the shipped network names some at 4 Å"
    assert "| confusions and BLOSUM62 |" in capsys.readouterr().out


def test_similarity_is_that_of_blosum62() -> None:
    similarity = blosum62()
    place = LABELS.index
    assert (similarity == similarity.T).all()
    assert similarity[place("TRP"), place("TRP")] == 11
    assert similarity[place("PHE"), place("TYR")] == 3
    assert similarity[place("VAL/THR"), place("ILE")] == (3 + -1) / 2
    assert rank_correlation(similarity, similarity)[0] == pytest.approx(1)
    correlation, p = rank_correlation(THESIS, similarity)
    assert 0.3 < correlation < 0.6
    assert p < 1e-6


@pytest.mark.usefixtures("small_networks")
def test_fine_tuning(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--structures", str(data), "--experimental", str(data), "--maps", "1", *SMALL]
    arguments += ["--network", "fc-densenet49", "--fine-tuning-windows", "2"]
    rows = run_twice(fine_tuning.main, [*arguments, "--resolutions", "2"], tmp_path, "fine_tuning")
    assert [row["maps"] for row in rows] == ["simulated", "experimental", "experimental, fine-tuned"]
    assert (
        fine_tuning.main([*arguments, "--resolutions", "3", "--out", str(tmp_path / "3")])
        == TrainingDataError.exit_code
    )
    assert "no crystal of the split dev between 2.5 and 3.5 Å" in capsys.readouterr().err


@pytest.mark.usefixtures("small_networks")
def test_blocks(data: Path, tmp_path: Path) -> None:
    """By the loss of the thesis, in windows of 72 Å, which three times as many residues touch as windows of 48 Å."""
    arguments = ["--structures", str(data), "--maps", "1", *SMALL, "--loss", "thesis", "--out", str(tmp_path)]
    assert blocks.main(arguments) == 0
    rows = rows_of(tmp_path / "blocks.csv")
    assert len(rows) == 4
    assert all(0 <= float(row["dice"]) <= 1 for row in rows)


def test_networks(data: Path, tmp_path: Path) -> None:
    stack = weights_file(tmp_path / "a.safetensors", replace(TINY, points=1), fixed_range(2.0))
    dense = weights_file(tmp_path / "b.safetensors", TINY_DENSE, fixed_range(2.0))
    arguments = ["--weights", f"stack={stack}", f"dense={dense}", "--resolution", "2", "--experimental", str(data)]
    rows = run_twice(networks.main, arguments, tmp_path / "out", "networks")
    assert [(row["network"], row["instances"]) for row in rows] == [
        ("stack", "given"), ("stack", "located"), ("dense", "given"),
    ]  # fmt: skip
    assert {row["residues"] for row in rows} == {"95"}
    assert set(LABELS) < rows[0].keys()


def test_accuracy_against_r_free(data: Path, tmp_path: Path) -> None:
    """With a network that locates residues, and with one that is given the locations."""
    for config in (TINY, TINY_DENSE):
        weights = weights_file(tmp_path / f"{config.architecture}.safetensors", config, fixed_range(2.0))
        arguments = ["--experimental", str(data), "--device", "cpu", "--weights", str(weights)]
        (row,) = run_twice(r_free.main, arguments, tmp_path / config.architecture, "r_free")
        assert (row["map"], row["r_free"], row["d_min"], row["range"]) == ("1az5", "0.21", "2", "high")
        assert row["residues"] == "95"


@pytest.mark.usefixtures("small_networks")
def test_times(data: Path, tmp_path: Path) -> None:
    assert times.main(["--experimental", str(data), "--device", "cpu", "--out", str(tmp_path)]) == 0
    stack, dense = rows_of(tmp_path / "times.csv")
    assert stack["volume"] == dense["volume"]
    assert 95 * 50 < float(stack["volume"]) < 95 * 1000
    assert all(float(row["seconds"]) > 0 for row in (stack, dense))


def test_gradients_of_dense_layers_are_those_of_their_own_kernels(tmp_path: Path) -> None:
    """Without concatenations each layer has one convolution, whose gradient is known to PyTorch."""
    config = replace(TINY_DENSE, concatenations=False, dropout=0.0)
    small = replace(fixed_range(3.0), window=16)
    path = weights_file(tmp_path / "w.safetensors", config, small)
    torch.manual_seed(0)
    density = torch.rand(2, 1, 16, 16, 16)
    classes = torch.randint(0, 18, density.shape).squeeze(1).to(torch.int8)
    batch = {"density": density, "classes": classes, "residues": torch.full_like(classes, -1).short()}
    batch["points"] = torch.zeros(2, 1, 8, 3)
    options = TrainOptions(2, batch=2, loss="thesis")
    norms = gradient_norms(path, [batch], options)
    net = load_weights(path).net.train()
    make_loss(options, small, 0)(*net(density), batch).total.backward()
    own = [net.stem.weight, *(c.weight for b in net.down_blocks for c in b.convolutions)]  # type: ignore[union-attr]
    expected = [p.grad.norm().item() for p in own]  # type: ignore[union-attr]
    measured = list(norms.values())[: len(own)]
    np.testing.assert_allclose(np.array(measured) / measured[0], np.array(expected) / expected[0], rtol=1e-4)


def test_results_are_measured_once(tmp_path: Path) -> None:
    results = Results(tmp_path / "r.csv")
    assert results.measure({"name": "a"}, lambda: [{"value": 1 / 3}]) == [{"name": "a", "value": "0.33333"}]
    assert Results(tmp_path / "r.csv").measure({"name": "a"}, lambda: [{"value": 2.0}]) == results.rows
    (tmp_path / "r.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingDataError, match="cannot be read as earlier results"):
        Results(tmp_path / "r.csv")
