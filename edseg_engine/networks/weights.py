"""Weights files: safetensors in half precision, with a model card inside; the shipped ones are chosen by resolution."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edseg_engine.errors import WeightsError
from edseg_engine.io.output import output_file
from edseg_engine.networks.architectures import build, same_body
from edseg_engine.networks.card import WeightsCard, WeightsInfo, card_from_json, card_to_json
from edseg_engine.networks.framenet import FrameNet
from edseg_engine.networks.neighbournet import NeighbourNet
from edseg_engine.networks.network import Network, NetworkConfig
from edseg_engine.networks.residuenet import ResidueNet
from edseg_engine.resolution import ResolutionRange

#: Before the names of the tensors of the classifier of residues, of the network of frames, and of that of neighbours.
_RESIDUES, _FRAMES, _NEIGHBOURS = "residues.", "frames.", "neighbours."
#: Counters of batches that batch normalisation keeps; no one uses them.
_COUNTERS = "num_batches_tracked"
#: From this resolution (Å) on maps are coarse, see `coarse_beside`.
_COARSE = 3.5
#: Lists the weights files of a folder with their checksums, as ``sha256sum`` writes them.
CHECKSUMS = "SHA256SUMS"

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Weights:
    """A network ready to run, what reads residues after it if there is any (classifier, network of frames, network of
    neighbours), its card and where it came from."""

    net: Network
    card: WeightsCard
    info: WeightsInfo
    residue_net: ResidueNet | None = None
    frame_net: FrameNet | None = None
    neighbour_net: NeighbourNet | None = None

    def save(self, path: Path) -> None:
        """Write everything to `path`; the file appears whole or not at all."""
        after = {_RESIDUES: self.residue_net, _FRAMES: self.frame_net, _NEIGHBOURS: self.neighbour_net}
        nets = {"": self.net, **after}
        state = {prefix + k: v for prefix, net in nets.items() if net for k, v in net.state_dict().items()}
        save_weights({k: v for k, v in state.items() if v.is_floating_point()}, self.card, path)


def save_weights(state: dict[str, Tensor], card: WeightsCard, path: Path) -> None:
    """Write `state` in half precision, where that holds it, with its card; the file appears whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    small = {k: _small(v.detach().to("cpu")).contiguous() for k, v in state.items()}
    with output_file(path) as file:
        file.write_bytes(save(small, metadata={"edseg": card_to_json(card)}))


def _small(value: Tensor) -> Tensor:
    half = value.to(torch.float16)
    return half if bool(half.isfinite().all()) else value  # variances may lie beyond its range


def _read(path: Path) -> tuple[dict[str, Tensor], WeightsCard]:
    try:
        with safe_open(path, "pt") as file:
            card = card_from_json((file.metadata() or {}).get("edseg", "null"), str(path))
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as weights of edseg ({error}).") from error
    if not all(v.is_floating_point() and bool(v.isfinite().all()) for v in state.values()):
        raise WeightsError(f"{path} is damaged: some of its weights are not numbers.")
    if any(bool((v < 0).any()) for k, v in state.items() if k.endswith("running_var")):
        raise WeightsError(f"{path} is damaged: some of its variances are negative.")
    return {k: v.float() for k, v in state.items() if _COUNTERS not in k}, card


def network_of(path: Path) -> NetworkConfig:
    """Return the shape of the network of a weights file; raises `WeightsError` if the file cannot be read."""
    return _read(path)[1].network


def load_state(net: Network, path: Path) -> None:
    """Load the weights of `path` into `net`, which may be of another range but must have the same shape.

    The votes for atoms may be missing in the file; they then start at random.

    Raises
    ------
    WeightsError
        If the file cannot be read or the shapes differ.
    """
    state, card = _read(path)
    if not same_body(card.network, net.config):
        raise WeightsError(f"{path} belongs to a network of another shape ({card.network}).")
    try:
        net.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the network that it describes.") from error


def readers_of(path: Path) -> tuple[dict[str, Tensor], WeightsCard]:
    """Return the networks of frames and of neighbours of a weights file, if it has any, as `save_weights` takes them,
    and its card, which says how they were trained.

    They read density and atoms, not what the first network sees in a map, and so remain of use when that is trained on.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    state, card = _read(path)
    return {k: v for k, v in state.items() if k.startswith((_FRAMES, _NEIGHBOURS))}, card


def load_weights(path: Path) -> Weights:
    """Return the network of a weights file, in evaluation mode, float32, on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or of another kind, or differs from what `CHECKSUMS` beside it says.
    """
    sha256 = _checked_sum(path)
    state, card = _read(path)
    of_residues, of_frames, of_neighbours = (_taken(state, kind) for kind in (_RESIDUES, _FRAMES, _NEIGHBOURS))
    net = _made(lambda: build(card.network), state, path)
    residue_net = _made(lambda: ResidueNet.of_shape(of_residues), of_residues, path) if of_residues else None
    frame_net = _made(lambda: FrameNet.of_shape(of_frames), of_frames, path) if of_frames else None
    neighbour_net = _made(lambda: NeighbourNet.of_shape(of_neighbours), of_neighbours, path) if of_neighbours else None
    info = WeightsInfo(path.name, sha256, card.range.d_min, card.range.d_max)
    return Weights(net, card, info, residue_net, frame_net, neighbour_net)


def _taken(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it, and remove them from `state`."""
    return {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}


def _checked_sum(path: Path) -> str:
    """Return the SHA-256 of a file; raises `WeightsError` if another one is recorded beside it."""
    try:
        if not path.is_file():
            raise WeightsError(f"{path} cannot be read as weights of edseg (there is no such file).")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        recorded = read_checksums(path.parent)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read as weights of edseg ({error.strerror or error}).") from error
    if recorded.get(path.name, sha256) != sha256:
        raise WeightsError(
            f"{path} is damaged: its SHA-256 is not the one recorded in {CHECKSUMS}; install edseg again, or name a "
            "file with --weights."
        )
    return sha256


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that `CHECKSUMS` of the folder names, if there is one."""
    path = folder / CHECKSUMS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}


def _made(make: Callable[[], Net], state: Mapping[str, Tensor], path: Path) -> Net:
    """Return the network of `make` with the weights `state`, in evaluation mode."""
    try:
        with torch.device("meta"):  # a network of absurd size costs nothing before its shapes are compared
            _check_shapes(make(), state, path)
        net = make()
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{path} does not fit the network that it describes.") from error
    net.load_state_dict(state, strict=False)
    return net.eval()


def _check_shapes(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    shapes = {k: v.shape for k, v in net.state_dict().items() if _COUNTERS not in k}
    if shapes.keys() != state.keys():
        raise WeightsError(f"{path} does not hold all weights of the network that it describes, and no others.")
    if any(state[k].shape != shape for k, shape in shapes.items()):
        raise WeightsError(f"{path} does not fit the network that it describes.")


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


def choose_weights(path: Path | None, resolution_range: ResolutionRange) -> Weights:
    """Return the weights of a file, or the shipped ones of a range if `path` is None.

    Each file is loaded once in a process, and again if it has changed. All who ask for its weights share them; change
    none.

    Raises
    ------
    WeightsError
        If they are missing or damaged.
    """
    return _shared(path) if path else _shipped(resolution_range.name)


def backbone_beside(weights: Weights) -> Weights | None:
    """Return the shipped weights that vote for atoms; None if `weights` do so themselves, or for no point at all.

    See `choose_weights`.

    Raises
    ------
    WeightsError
        If they are missing or damaged.
    """
    return None if _reads_alone(weights) else _shipped("backbone")


def coarse_beside(weights: Weights) -> bool:
    """Return whether `weights` read coarse maps, for which the shipped ones that run beside them tell less."""
    return not _reads_alone(weights) and weights.card.range.d_min >= _COARSE


def _reads_alone(weights: Weights) -> bool:
    return weights.net.config.points != 1


def _shipped(name: str) -> Weights:
    return _shared(weights_folder() / f"{name}.safetensors")


def _shared(path: Path) -> Weights:
    try:
        status = path.stat()
    except OSError:
        return load_weights(path)  # says what is wrong with it
    return _loaded(path.absolute(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _loaded(path: Path, modified: int, size: int) -> Weights:
    """Return the weights of a file that was last modified then (ns) and has that size (bytes)."""
    return load_weights(path)
