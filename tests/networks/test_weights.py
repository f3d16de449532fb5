"""Weights files: damaged ones are refused with one sentence, before anything is run."""

from __future__ import annotations

import json
import os
import shutil
import struct
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import WeightsError
from edseg_engine.labels import LABELS
from edseg_engine.networks.card import FORMAT, WeightsCard, card_to_json
from edseg_engine.networks.framenet import FrameNet
from edseg_engine.networks.neighbournet import NeighbourNet
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import Weights, choose_weights, load_weights, save_weights, weights_folder
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import segment
from edseg_engine.residues.classify import Classifier
from edseg_engine.residues.features import N_FEATURES
from edseg_engine.resolution import range_by_name

TINY = StackNetConfig((4, 8, 8), (1, 1, 1), (0, 1, 1))
CARD = WeightsCard(range_by_name("high"), TINY)


def file_with(path: Path, card: object, state: dict[str, torch.Tensor] | None = None) -> Path:
    """Write weights whose card is `card`, as JSON if it is not text."""
    state = state or {k: v for k, v in StackNet(TINY).state_dict().items() if v.is_floating_point()}
    text = card if isinstance(card, str) else json.dumps(card)
    save_file({k: v.half() for k, v in state.items()}, path, metadata={"edseg": text})
    return path


def changed(**values: Any) -> dict[str, Any]:
    return {**json.loads(card_to_json(CARD)), **values}


def network(**values: Any) -> dict[str, Any]:
    return changed(network={**asdict(TINY), **values})


def test_a_network_of_frames_of_no_size_is_refused(tmp_path: Path) -> None:
    state = {k: v for k, v in StackNet(TINY).state_dict().items() if v.is_floating_point()}
    frames = {f"frames.{k}": v for k, v in FrameNet(1, 8).state_dict().items() if v.is_floating_point()}
    for name, value in (("frames.first.bias", torch.zeros(0)), ("frames.hidden.0.bias", torch.zeros(3))):
        path = file_with(tmp_path / "w.safetensors", changed(), {**state, **frames, name: value})
        with pytest.raises(WeightsError, match="does not fit"):
            load_weights(path)
    path = file_with(tmp_path / "w.safetensors", changed(frames={"runs": 5}), {**state, **frames})
    with pytest.raises(WeightsError, match="runs"):
        load_weights(path)
    assert load_weights(file_with(tmp_path / "w.safetensors", changed(), {**state, **frames})).frame_net is not None


def test_a_network_of_neighbours_of_no_size_is_refused(tmp_path: Path) -> None:
    state = {k: v for k, v in StackNet(TINY).state_dict().items() if v.is_floating_point()}
    sound = {**state, **{f"neighbours.{k}": v for k, v in NeighbourNet(8, 2).state_dict().items()}}
    first = {k.replace("layers.0", "layers.{}"): v for k, v in sound.items() if "layers.0" in k}
    many = {**sound, **{k.format(n): v for k, v in first.items() for n in range(40)}}
    none = {k: v for k, v in sound.items() if ".layers." not in k}
    empty = {**sound, "neighbours.residue.bias": torch.zeros(0)}
    wide = {**sound, "neighbours.residue.bias": torch.zeros(9)}
    for damaged in (many, none, empty, wide):
        with pytest.raises(WeightsError, match="does not fit"):
            load_weights(file_with(tmp_path / "w.safetensors", changed(), damaged))
    with pytest.raises(WeightsError, match="neighbours"):
        load_weights(file_with(tmp_path / "w.safetensors", changed(neighbours=5), sound))
    assert load_weights(file_with(tmp_path / "w.safetensors", changed(), sound)).neighbour_net is not None


def test_negative_variances_are_refused(tmp_path: Path) -> None:
    state = {k: v for k, v in StackNet(TINY).state_dict().items() if v.is_floating_point()}
    name = next(k for k in state if k.endswith("running_var"))
    path = file_with(tmp_path / "w.safetensors", changed(), {**state, name: -state[name]})
    with pytest.raises(WeightsError, match="variances are negative"):
        load_weights(path)


DAMAGED = {
    "null": "null",
    "a list": "[]",
    "a number": "7",
    "no JSON": "{",
    "deep": "[" * 100_000,
    "another format": changed(format="edseg-weights/9"),
    "no labels": changed(labels=None),
    "other labels": changed(labels=LABELS[:-1]),
    "no name": changed(name=None),
    "a long name": changed(name="x" * 1000),
    "text for d_min": changed(d_min="1.8"),
    "NaN for d_min": changed(d_min=float("nan")),
    "negative d_min": changed(d_min=-1),
    "d_min above d_max": changed(d_min=3.0),
    "no spacing": {k: v for k, v in changed().items() if k != "spacing"},
    "spacing 0": changed(spacing=0),
    "spacing true": changed(spacing=True),
    "huge frame": changed(frame=1e9),
    "negative frame": changed(frame=-1.0),
    "a fraction of a voxel": changed(window=47.5),
    "a label radius of null": changed(label_radius=None),
    "no network": changed(network=None),
    "an unknown field": network(depth=3),
    "widths -1": network(widths=[-1, 8, 8]),
    "widths 1e9": network(widths=[10**9, 8, 8]),
    "widths of text": network(widths="488"),
    "no widths": network(widths=[]),
    "one width": network(widths=4),
    "fractions": network(widths=[4.5, 8, 8]),
    "too few blocks": network(blocks=[1, 1]),
    "blocks 1e6": network(blocks=[10**6, 1, 1]),
    "concatenation_blocks 1e6": network(concatenation_blocks=[0, 1, 10**6]),
    "many levels": network(widths=[4] * 1000, blocks=[1] * 1000, concatenation_blocks=[1] * 1000),
    "dropout 5": network(dropout=5),
    "points 99": network(points=99),
    "dropout null": network(dropout=None),
    "other blocks than there are": network(blocks=[2, 1, 1]),
    "other widths than there are": network(widths=[8, 8, 8]),
    "wide and absent": network(widths=[1024, 1024, 1024], blocks=[32, 32, 32]),
    "training of text": changed(training="long"),
    "calibration of numbers": changed(calibration=[1.0]),
    "calibration of text": changed(calibration={"temperature": "hot"}),
    "calibration of null": changed(calibration={"slope": None}),
    "an unknown parameter": changed(calibration={"heat": 1.0}),
    "temperature 0": changed(calibration={"temperature": 0.0}),
    "an infinite slope": changed(calibration={"slope": float("inf")}),
}


@pytest.mark.parametrize("card", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_card_is_refused(card: object, tmp_path: Path) -> None:
    path = file_with(tmp_path / "w.safetensors", card)
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        load_weights(path)


def test_damaged_tensors_are_refused(tmp_path: Path) -> None:
    card, whole = changed(), {k: v for k, v in StackNet(TINY).state_dict().items() if v.is_floating_point()}
    key = "offset_head.bias"
    for state in (
        {k: v for k, v in whole.items() if k != key},
        {**whole, "more": torch.zeros(1)},
        {**whole, key: torch.zeros(4)},
        {**whole, key: torch.full((3,), torch.nan)},
        {**whole, "residues.mean": torch.zeros(3)},
        {**whole, **{f"residues.{k}": torch.zeros(1) for k in ResidueNet(3, 2).state_dict()}},
    ):
        with pytest.raises(WeightsError, match=r"w\.safetensors"):
            load_weights(file_with(tmp_path / "w.safetensors", card, state))


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_are_refused_or_harmless(seed: int, tmp_path: Path) -> None:
    path = file_with(tmp_path / "w.safetensors", changed())
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for place in rng.integers(0, header, rng.integers(1, 4)):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    with suppress(WeightsError):
        load_weights(path)


def test_a_flipped_bit_of_shipped_weights_is_found(tmp_path: Path) -> None:
    for name in ("high.safetensors", "SHA256SUMS"):
        shutil.copy(weights_folder() / name, tmp_path)
    path = tmp_path / "high.safetensors"
    assert load_weights(path).info.name == path.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(path)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of that of the shipped weights."""
    for name in ("high.safetensors", "SHA256SUMS"):
        shutil.copy(weights_folder() / name, tmp_path)
    monkeypatch.setattr("edseg_engine.networks.weights.weights_folder", lambda: tmp_path)
    return tmp_path


def test_variances_beyond_half_precision_are_kept(tmp_path: Path) -> None:
    config = StackNetConfig(widths=(2, 4), blocks=(1, 1), concatenation_blocks=(0, 1))
    state = StackNet(config).state_dict()
    state["stem.1.running_var"] = torch.tensor([2e6, 3.0])
    save_weights(state, WeightsCard(range_by_name("high"), config), tmp_path / "x.safetensors")
    loaded = load_weights(tmp_path / "x.safetensors").net.state_dict()
    assert loaded["stem.1.running_var"].tolist() == [2e6, 3.0]


def test_weights_are_loaded_once_wherever_they_are(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose_weights(None, CARD.range)
    assert choose_weights(None, CARD.range) is first
    copy = tmp_path / "copy.safetensors"
    shutil.copy(shipped / "high.safetensors", copy)
    other = choose_weights(copy, CARD.range)
    assert other is not first
    monkeypatch.chdir(tmp_path)
    assert choose_weights(Path("copy.safetensors"), CARD.range) is other
    os.utime(copy, (1, 1))
    assert choose_weights(copy, CARD.range) is not other


def test_shipped_weights_that_have_changed_are_read_anew(shipped: Path) -> None:
    first = choose_weights(None, CARD.range)
    path = shipped / "high.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="SHA-256"):
        choose_weights(None, CARD.range)
    (shipped / "SHA256SUMS").unlink()
    assert choose_weights(None, CARD.range).info.sha256 != first.info.sha256
    path.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        choose_weights(None, CARD.range)


def test_a_run_does_not_change_shipped_weights(crystal_map: DensityMap) -> None:
    weights = choose_weights(None, CARD.range)
    before = {k: v.clone() for k, v in (*weights.net.state_dict().items(), *classifier_state(weights).items())}
    structure = str(weights.net)
    box = (0.0, 0.0, 0.0, 20.0, 20.0, 20.0)
    segment(crystal_map, SegmentOptions(orientations=1, box=box, device="cpu"))
    assert choose_weights(None, CARD.range) is weights
    after = {**weights.net.state_dict(), **classifier_state(weights)}
    assert after.keys() == before.keys()
    assert all(after[k].dtype == v.dtype and torch.equal(after[k], v) for k, v in before.items())
    assert str(weights.net) == structure
    assert not any(module.training for module in weights.net.modules())


def classifier_state(weights: Weights) -> dict[str, torch.Tensor]:
    assert weights.residue_net is not None
    assert not any(module.training for module in weights.residue_net.modules())
    return {f"residues.{k}": v for k, v in weights.residue_net.state_dict().items()}


def test_no_regular_file_is_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(tmp_path)


def test_cards_of_before_have_the_frame_that_they_were_trained_with(tmp_path: Path) -> None:
    for name in ("high", "medium", "low"):
        values = json.loads(card_to_json(WeightsCard(range_by_name(name), TINY)))
        old = {k: v for k, v in values.items() if k not in ("frame", "label_radius", "window")}
        assert load_weights(file_with(tmp_path / "w.safetensors", old)).card.range == range_by_name(name)
        assert load_weights(weights_folder() / f"{name}.safetensors").card.range == range_by_name(name)


def test_a_card_round_trips(tmp_path: Path) -> None:
    own = replace(CARD.range, name="custom", d_min=2.0, d_max=3.1, spacing=0.8, frame=6.4, label_radius=2.1, window=40)
    card = replace(CARD, range=own, training={"windows": 3})
    save_weights(StackNet(TINY).state_dict(), card, tmp_path / "w.safetensors")
    assert load_weights(tmp_path / "w.safetensors").card == card
    assert json.loads(card_to_json(card))["format"] == FORMAT


def test_a_run_goes_by_the_card(crystal_map: DensityMap, tmp_path: Path) -> None:
    """A network of one's own, by any name, reads voxels of its own spacing."""
    torch.manual_seed(0)
    path = tmp_path / "own.safetensors"
    save_weights(StackNet(TINY).state_dict(), replace(CARD, range=replace(CARD.range, name="own", spacing=1.6)), path)
    box = (0.0, 0.0, 0.0, 24.0, 24.0, 24.0)
    options = SegmentOptions(orientations=1, voxels=True, box=box, weights=path, device="cpu")
    found = segment(crystal_map, options).voxels
    assert found is not None
    assert found.spacing == 1.6


def test_a_classifier_of_other_features_is_refused_before_the_run(crystal_map: DensityMap, tmp_path: Path) -> None:
    info = load_weights(file_with(tmp_path / "w.safetensors", changed())).info
    weights = Weights(StackNet(TINY).eval(), CARD, info, ResidueNet(N_FEATURES + 1, 16))
    weights.save(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=f"reads {N_FEATURES + 1} features"):
        Classifier.of(load_weights(tmp_path / "other.safetensors"))
    stages: list[str] = []
    with pytest.raises(WeightsError, match="features"):
        segment(crystal_map, SegmentOptions(weights=tmp_path / "other.safetensors"), lambda p: stages.append(p.stage))
    assert set(stages) == {"read"}
