"""Weights files: safetensors in half precision, with a model card inside; the shipped ones are chosen by resolution."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edseg_engine.errors import WeightsError
from edseg_engine.labels import LABELS
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.residues.features import N_FEATURES
from edseg_engine.results.records import WeightsInfo

FORMAT = "edseg-weights/1"

#: Before the names of the tensors that belong to the classifier of residues.
_RESIDUES = "residues."


@dataclass(frozen=True)
class WeightsCard:
    """What a network needs to be used as it was trained.

    Attributes
    ----------
    name
        Name of the resolution range.
    d_min, d_max
        Resolutions in Å that it was trained on.
    spacing
        Å between voxels.
    network
        Shape of the network.
    training
        How it was trained: data, windows seen, options (JSON values).
    classifier
        How the classifier of residues was trained, if there is one.
    calibration
        Parameters that turn summed votes into probabilities, see `edseg_engine.residues.classify`.
    """

    name: str
    d_min: float
    d_max: float
    spacing: float
    network: StackNetConfig
    training: dict[str, Any] = field(default_factory=dict)
    classifier: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """A network ready to run, its classifier of residues if it has one, its card and where it came from."""

    net: StackNet
    card: WeightsCard
    info: WeightsInfo
    residue_net: ResidueNet | None = None

    def save(self, path: Path) -> None:
        """Write everything to `path`; the file appears whole or not at all."""
        state = {k: v for k, v in self.net.state_dict().items() if v.is_floating_point()}
        if self.residue_net is not None:
            state |= {_RESIDUES + k: v for k, v in self.residue_net.state_dict().items()}
        save_weights(state, self.card, path)


def save_weights(state: dict[str, Tensor], card: WeightsCard, path: Path) -> None:
    """Write `state` in half precision with its card; the file appears whole or not at all."""
    half = {k: v.to("cpu", torch.float16).contiguous() for k, v in state.items()}
    text = json.dumps({"format": FORMAT, "labels": LABELS, **asdict(card)})
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(save(half, metadata={"edseg": text}))
    temporary.replace(path)


def _read(path: Path) -> tuple[dict[str, Tensor], WeightsCard]:
    try:
        with safe_open(path, "pt") as file:
            text = json.loads((file.metadata() or {}).get("edseg", "{}"))
            if text.pop("format", None) != FORMAT:
                raise WeightsError(f"{path} holds no weights of edseg ({FORMAT}).")
            if tuple(text.pop("labels")) != LABELS:
                raise WeightsError(f"{path} was trained on other residue classes than this version of edseg has.")
            text["network"] = StackNetConfig.from_json(text["network"])
            return {k: file.get_tensor(k) for k in file.keys()}, WeightsCard(**text)  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as weights of edseg ({error}).") from error


def network_of(path: Path) -> StackNetConfig:
    """Return the shape of the network of a weights file; raises `WeightsError` if the file cannot be read."""
    return _read(path)[1].network


def load_state(net: StackNet, path: Path) -> None:
    """Load the weights of `path` into `net`, which may be of another range but must have the same shape.

    The votes for atoms may be missing in the file; they then start at random.

    Raises
    ------
    WeightsError
        If the file cannot be read or the shapes differ.
    """
    state, card = _read(path)
    if replace(card.network, points=net.config.points) != net.config:
        raise WeightsError(f"{path} belongs to a network of another shape ({card.network}).")
    net.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)


def load_weights(path: Path) -> Weights:
    """Return the network of a weights file, in evaluation mode, float32, on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or of another kind.
    """
    state, card = _read(path)
    net = StackNet(card.network)
    residue_state = {k.removeprefix(_RESIDUES): state.pop(k).float() for k in list(state) if k.startswith(_RESIDUES)}
    try:
        missing = net.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
        residue_net = _residue_net(residue_state) if residue_state else None
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"{path} does not fit the network that it describes.") from error
    if missing.unexpected_keys or any("num_batches_tracked" not in k for k in missing.missing_keys):
        raise WeightsError(f"{path} does not hold all weights of the network that it describes.")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Weights(net.eval(), card, WeightsInfo(path.name, sha256, card.d_min, card.d_max), residue_net)


def _residue_net(state: dict[str, Tensor]) -> ResidueNet:
    net = ResidueNet(N_FEATURES, hidden=len(state["hidden.0.bias"]))
    net.load_state_dict(state)
    return net.eval()


@cache
def weights_folder() -> Path:
    """Return the folder of the shipped weights: inside an installed package, or beside it in a checkout.

    Raises
    ------
    WeightsError
        If neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "weights", package.parent / "weights"):
        if folder.is_dir():
            return folder
    raise WeightsError(f"No weights were found beside {package}; install edseg again or name a file with --weights.")
