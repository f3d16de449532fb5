"""3D FC-DenseNet: the configurations of the thesis, its dense blocks and its ablations, and its weights files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edseg_engine.errors import OptionError, WeightsError
from edseg_engine.labels import N_CLASSES
from edseg_engine.networks.architectures import SHAPES, build, same_body
from edseg_engine.networks.card import WeightsCard, card_to_json
from edseg_engine.networks.fc_densenet import DenseBlock, FcDenseNet, FcDenseNetConfig
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import load_state, load_weights, save_weights
from edseg_engine.resolution import range_by_name
from tiny_training import TINY, TINY_DENSE


@pytest.mark.parametrize(("name", "blocks", "depth"), [("fc-densenet57", 5, 57), ("fc-densenet49", 4, 49)])
def test_the_configurations_are_those_of_table_5_1(name: str, blocks: int, depth: int) -> None:
    config = SHAPES[name]
    assert isinstance(config, FcDenseNetConfig)
    assert config.depth == depth
    with torch.device("meta"):
        net = build(config)
    assert isinstance(net, FcDenseNet)
    ways = [net.down_blocks, [net.bottleneck], net.up_blocks]
    layers = [[len(block.norms) for block in way] for way in ways]  # type: ignore[union-attr]
    assert layers == [[4] * blocks, [15], [4] * blocks]
    assert sum(map(sum, layers)) + len([net.stem, net.class_head]) == depth
    dense = [block for way in ways for block in way]  # type: ignore[attr-defined]
    assert all(norm.num_features == 12 for block in dense for norm in block.norms)
    assert all(block.dropout.p == 0.2 for block in dense)
    kernels = {c.kernel_size for block in dense for c in block.convolutions} | {net.stem.kernel_size}
    assert kernels == {(3, 3, 3)}
    assert net.class_head.kernel_size == (1, 1, 1)
    assert [(t.kernel_size, t.stride) for t in net.transitions_up] == [((3, 3, 3), (2, 2, 2))] * blocks
    assert [t[-1].kernel_size for t in net.transitions_down] == [2] * blocks  # type: ignore[index]


def plain_block(block: DenseBlock, x: torch.Tensor) -> torch.Tensor:
    """What the textbook's block computes: one convolution for each layer, over the concatenation of all before it."""
    growth, parts = block.growth, [x]
    for layer, norm in enumerate(block.norms):
        rows = [slice((layer - part) * growth, (layer - part + 1) * growth) for part in range(layer + 1)]
        kernels = [block.convolutions[part].weight[row] for part, row in enumerate(rows)]
        bias = block.convolutions[0].bias[rows[0]]
        y = nn.functional.conv3d(torch.cat(parts, 1), torch.cat(kernels, 1), bias, padding=1)
        parts.append(norm(torch.relu(y)))
    return torch.cat(parts if block.with_input else parts[1:], 1)


@pytest.mark.parametrize("with_input", [True, False])
def test_a_dense_block_is_that_of_the_textbook(with_input: bool) -> None:
    torch.manual_seed(0)
    block = DenseBlock(5, 4, FcDenseNetConfig(growth=3, dropout=0.0), with_input)
    x = torch.randn(2, 5, 6, 5, 4)
    for _ in range(2):  # by the statistics of the batch, then by those collected
        expected = plain_block(block, x)
        assert expected.shape[1] == block.width == 12 + (5 if with_input else 0)
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
        block.eval()


def test_without_concatenations_a_layer_reads_the_one_before_it_alone() -> None:
    torch.manual_seed(0)
    block = DenseBlock(5, 3, FcDenseNetConfig(growth=2, dropout=0.0, concatenations=False), True).eval()
    x = torch.randn(1, 5, 4, 4, 4)
    y = x
    for convolution, norm in zip(block.convolutions, block.norms, strict=True):
        y = norm(torch.relu(convolution(y)))
    torch.testing.assert_close(block(x), y)
    assert block.width == 2


@pytest.mark.parametrize("edge", [1, 2, 3])
def test_gradients_in_bfloat16_are_those_in_single_precision(edge: int) -> None:
    torch.manual_seed(0)
    block = DenseBlock(12, 2, FcDenseNetConfig(dropout=0.0), True)
    x = torch.randn(3, 12, edge, edge, edge)

    def gradients(bfloat16: bool) -> list[torch.Tensor]:
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            (block(x).float() ** 3).sum().backward()
        return [convolution.weight.grad.clone() for convolution in block.convolutions]

    expected = gradients(False)
    block.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = x.contiguous(memory_format=torch.channels_last_3d)
    for _ in range(5):
        unset = [torch.full((n,), torch.nan) for n in (100, 1000, 4000, 10000, 50000)]
        del unset  # what is not set is probably not a number now
        for gradient, right in zip(gradients(True), expected, strict=True):
            assert (gradient - right).norm() < 0.1 * right.norm()


def test_layers_start_as_if_they_read_a_concatenation() -> None:
    """However many parts a layer reads, and however wide they are, its kernels have one scale."""
    torch.manual_seed(0)
    block = DenseBlock(24, 4, FcDenseNetConfig(), True)
    last = [convolution.weight[-12:].std().item() for convolution in block.convolutions]
    assert last == pytest.approx([last[0]] * 4, rel=0.1)
    first = block.convolutions[0].weight[:12].std().item()
    assert first / last[0] == pytest.approx(((24 + 3 * 12) / 24) ** 0.5, rel=0.1)


@pytest.mark.parametrize("shape", [(5, 6, 7), (36, 36, 36), (33, 40, 48)])
@pytest.mark.parametrize("concatenations", [True, False])
def test_any_size_goes_through(shape: tuple[int, int, int], concatenations: bool) -> None:
    net = build(FcDenseNetConfig(5, 1, 2, 4, 4, concatenations=concatenations)).eval()
    with torch.inference_mode():
        scores, offsets = net(torch.randn(2, 1, *shape))
    assert scores.shape == (2, N_CLASSES, *shape)
    assert offsets.shape == (2, 0, *shape)


def test_padding_does_nothing_where_maps_fit_and_saves_those_that_do_not() -> None:
    """The thesis's second ablation: windows of 36 voxels have an odd map after two transitions (5.3.1)."""
    torch.manual_seed(0)
    padded = build(replace(TINY_DENSE, levels=4)).eval()
    bare = build(replace(TINY_DENSE, levels=4, padding=False)).eval()
    bare.load_state_dict(padded.state_dict())
    with torch.inference_mode():
        x = torch.randn(1, 1, 48, 32, 32)
        torch.testing.assert_close(bare(x)[0], padded(x)[0])
        assert padded(torch.randn(1, 1, 36, 36, 36))[0].shape == (1, N_CLASSES, 36, 36, 36)
        with pytest.raises(OptionError, match="multiples of 16 voxels, not 36 x 36 x 36"):
            bare(torch.randn(1, 1, 36, 36, 36))


def test_a_bottleneck_of_one_voxel_cannot_be_normalised() -> None:
    net = build(replace(TINY_DENSE, levels=4))
    with pytest.raises(OptionError, match="batches of two or more"):
        net(torch.randn(1, 1, 16, 16, 16))
    net(torch.randn(2, 1, 16, 16, 16))
    net.freeze_statistics()
    net(torch.randn(1, 1, 16, 16, 16))


def test_the_form_for_inference_says_the_same() -> None:
    torch.manual_seed(0)
    net = build(TINY_DENSE)
    x = torch.randn(2, 1, 18, 16, 15)
    for _ in range(3):  # let the normalisations see something
        net(x * 2 + 0.5)
    net.eval()
    fast = net.for_inference(torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x)[0], net(x)[0], atol=1e-4, rtol=1e-3)
    assert not any(p.requires_grad and p is q for p in net.parameters() for q in fast.parameters())


def test_every_shape_can_be_built_and_is_its_own_body() -> None:
    for config in SHAPES.values():
        config.check()
        with torch.device("meta"):
            assert build(config).config is config
    shapes = list(SHAPES.values())
    assert all(same_body(a, b) == (a is b) for a in shapes for b in shapes)
    assert same_body(StackNetConfig(points=1), StackNetConfig(points=8))
    with pytest.raises(TypeError, match="shape of no network"):
        build(object())  # type: ignore[arg-type]


def weights_file(path: Path, config: NetworkConfig, **changes: Any) -> Path:
    """Write weights whose card has `changes`, and lacks what is None there."""
    card = {**json.loads(card_to_json(WeightsCard(range_by_name("medium"), config))), **changes}
    card = {k: v for k, v in card.items() if v is not None}
    state = {k: v.half() for k, v in build(config).state_dict().items() if v.is_floating_point()}
    save_file(state, path, metadata={"edseg": json.dumps(card)})
    return path


def test_weights_say_which_network_they_are_of(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    net = build(TINY_DENSE).eval()
    card = WeightsCard(range_by_name("medium"), TINY_DENSE)
    save_weights({k: v for k, v in net.state_dict().items() if v.is_floating_point()}, card, path)
    loaded = load_weights(path)
    assert isinstance(loaded.net, FcDenseNet)
    assert loaded.card == card
    x = torch.randn(1, 1, 12, 12, 12)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.net(x)[0], net(x)[0], atol=0.02, rtol=0.02)
    load_state(build(TINY_DENSE), path)
    with pytest.raises(WeightsError, match="another shape"):
        load_state(StackNet(TINY), path)


def test_weights_of_before_are_of_stacknets(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "w.safetensors", TINY, architecture=None)
    assert isinstance(load_weights(path).net, StackNet)


DAMAGED: dict[str, dict[str, Any]] = {
    "an unknown architecture": {"architecture": "transformer"},
    "a list of architectures": {"architecture": ["fc-densenet"]},
    "another architecture": {"architecture": "stacknet"},
    "none": {"architecture": None},
    "no network": {"network": 7},
    "an unknown field": {"network": {**TINY_DENSE.to_json(), "widths": [4]}},
    **{
        f"{key} {value}": {"network": {**TINY_DENSE.to_json(), key: value}}
        for key, value in [
            ("levels", 0),
            ("levels", 30),
            ("levels", 2.0),
            ("layers", 10**6),
            ("bottleneck", -1),
            ("growth", 10**9),
            ("stem", True),
            ("dropout", 1.0),
            ("dropout", float("nan")),
            ("concatenations", 1),
            ("padding", "no"),
            ("growth", 5),
        ]
    },
}


@pytest.mark.parametrize("changes", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_card_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        load_weights(weights_file(tmp_path / "w.safetensors", TINY_DENSE, **changes))
