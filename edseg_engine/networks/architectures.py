"""Which networks there are: the only place that knows them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edseg_engine.networks.fc_densenet import FcDenseNet, FcDenseNetConfig
from edseg_engine.networks.network import Network, NetworkConfig
from edseg_engine.networks.stacknet import StackNet, StackNetConfig

#: MT-StackNet with the thesis's bottleneck (6.4.2): a level below the lowest, which sees windows of 48 voxels in 6.
_WITH_BOTTLENECK = StackNetConfig(widths=(32, 64, 96, 128), blocks=(1, 3, 2, 2), concatenation_blocks=(0, 1, 1, 0))

#: Shapes that a training run can ask for, by name; those that lack something, and those with a bottleneck, are the
#: thesis's ablations (5.3.1, 6.4.2).
SHAPES: Mapping[str, NetworkConfig] = {
    "stacknet": StackNetConfig(),
    "stacknet-no-skip-blocks": StackNetConfig(skip_blocks=False),
    "stacknet-bottleneck": _WITH_BOTTLENECK,
    "stacknet-bottleneck-no-skip-blocks": replace(_WITH_BOTTLENECK, skip_blocks=False),
    "fc-densenet57": FcDenseNetConfig(),
    "fc-densenet49": FcDenseNetConfig(levels=4),
    "fc-densenet57-no-concatenations": FcDenseNetConfig(concatenations=False),
    "fc-densenet49-no-concatenations": FcDenseNetConfig(levels=4, concatenations=False),
    "fc-densenet49-no-padding": FcDenseNetConfig(levels=4, padding=False),
}
_CONFIGS = {config.architecture: config for config in (StackNetConfig, FcDenseNetConfig)}


def build(config: NetworkConfig) -> Network:
    """Return a new network of this shape; raises TypeError if it is of no architecture."""
    match config:
        case StackNetConfig():
            return StackNet(config)
        case FcDenseNetConfig():
            return FcDenseNet(config)
    raise TypeError(f"{config!r} is the shape of no network")


def config_from_json(architecture: Any, values: Any) -> NetworkConfig:
    """Return the shape that a file describes; raises TypeError or ValueError if no network can be like this."""
    if not isinstance(architecture, str) or architecture not in _CONFIGS:
        raise ValueError(f"its architecture is {architecture!r}, not one of {', '.join(_CONFIGS)}")
    if not isinstance(values, dict):
        raise ValueError(f"its network is {values!r}")
    config: NetworkConfig = _CONFIGS[architecture].from_json(values)
    config.check()
    return config


def same_body(one: NetworkConfig, other: NetworkConfig) -> bool:
    """Whether two networks differ at most in the points that their voxels vote for."""
    bodies = ({**config.to_json(), "points": None, "architecture": config.architecture} for config in (one, other))
    return next(bodies) == next(bodies)
