"""The network that reads residues together: what each is likely to be among its neighbours in the crystal.

A fold asks for certain residues in certain places, and the network of frames does not know what the density said of the
neighbours. Messages pass between the main chains of residues near each other, as in networks that design sequences for
a fold (Ingraham et al., 2019; Dauparas et al., 2022); here they carry what the density says of each.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edseg_engine.devices import runs_bfloat16
from edseg_engine.labels import ATOMS, BACKBONE, N_LABELS

_N, _CA, _C, _CB, _NEXT, _PREVIOUS = (ATOMS.index(name) for name in ("N", "CA", "C", "CB", "next CA", "previous CA"))
#: Distances (Å) are told by how near they are to each of these.
_LANDMARKS = (1.5, 3.0, 4.5, 6.0, 8.0, 10.5, 13.5, 17.0)
#: What describes a neighbour: distances, by the landmarks near each; the directions of two atoms and three axes.
_DISTANCES = len(BACKBONE) ** 2 + 4
_OF_NEIGHBOUR = _DISTANCES * len(_LANDMARKS) + 15
#: Logarithms of the class probabilities, the resolution and how sure the labels of the whole map are.
_OF_RESIDUE = N_LABELS + 2
_USUAL_RESOLUTION = 2.5
_LEAST = 1e-4
#: Residues whose neighbours are looked at together: what describes these needs ten times the memory of what is kept.
_PIECE = 2000
_MOST_LAYERS = 32


class _Layer(nn.Module):
    """Adds to each residue what its neighbours say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own, self.other, self.between = (nn.Linear(width, width, bias=b) for b in (True, False, False))
        self.message = nn.Linear(width, width)
        self.change = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, residues: Tensor, others: Tensor, between: Tensor, nearest: Tensor) -> Tensor:
        there = (nearest >= 0).to(between.dtype)[..., None]
        said = self.own(residues)[:, None] + others[nearest.clamp(min=0)] + self.between(between)
        said = F.gelu(self.message(F.gelu(said))) * there
        residues = self.norm(residues + said.sum(1) / there.sum(1).clamp(min=1.0))
        return torch.as_tensor(self.last_norm(residues + self.change(residues)))


class NeighbourNet(nn.Module):
    """Maps residues, and how their main chains lie to each other, to class scores.

    Parameters
    ----------
    width
        Numbers that describe a residue, or a pair of neighbours.
    layers
        Times that neighbours exchange messages.
    """

    def __init__(self, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.residue = nn.Linear(_OF_RESIDUE + _OF_NEIGHBOUR, width)
        self.pair = nn.Sequential(nn.Linear(_OF_NEIGHBOUR, width), nn.GELU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.head = nn.Linear(width, N_LABELS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def of_shape(cls, state: Mapping[str, Tensor]) -> NeighbourNet:
        """Return a new network of the shape that `state` was taken from; raises KeyError if it was another kind."""
        width = state["residue.bias"].numel()
        layers = len([name for name in state if name.endswith("message.bias")])
        if not width or not 0 < layers <= _MOST_LAYERS:
            raise KeyError("width")
        return cls(width, layers)

    def forward(self, probabilities: Tensor, d_min: Tensor, sure: Tensor, nearest: Tensor, atoms: Tensor) -> Tensor:
        """Read residues together.

        Parameters
        ----------
        probabilities
            shape (k, 17): of the classes of each residue, by what was read of it so far.
        d_min, sure
            shape (k,): resolution of its map (Å), and mean probability of the likeliest classes there.
        nearest
            shape (k, n): each residue's neighbours, itself first; -1 where there is none.
        atoms
            shape (k, n, 7, 3): their `edseg_engine.labels.ATOMS` in the frame of the residue, in Å from its CA.

        Returns
        -------
        Tensor, shape (k, 17)
            Unnormalised class scores.
        """
        logarithms = probabilities.clamp(min=_LEAST).log()
        said = torch.cat([logarithms, torch.stack([d_min - _USUAL_RESOLUTION, sure], 1)], 1)
        pieces, between = [], []
        split = (torch.split(whole, _PIECE) for whole in (said, atoms))
        for own, of_own in zip(*split, strict=True):
            described = _described(of_own.float())
            pieces.append(self.residue(torch.cat([own, described[:, 0]], 1)))
            between.append(self.pair(described[:, 1:]))
        around = torch.split(nearest[:, 1:], _PIECE)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            others = layer.other(torch.cat(pieces))
            pieces = [layer(own, others, *pairs) for own, *pairs in zip(pieces, between, around, strict=True)]
        residues = torch.cat(pieces)
        return torch.as_tensor(logarithms + self.head(residues))

    @torch.inference_mode()
    def read(
        self,
        probabilities: NDArray[np.float64],
        d_min: float,
        nearest: NDArray[np.intp],
        atoms: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Return class probabilities (k, 17) of the residues of one map, see `forward`."""
        of_map = torch.full((len(probabilities),), d_min), torch.full((len(probabilities),), sureness(probabilities))
        own = torch.from_numpy(probabilities.astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16, enabled=runs_bfloat16(torch.device("cpu"))):
            scores = self(own, *of_map, torch.from_numpy(nearest), torch.from_numpy(atoms))
        return np.asarray(scores.double().softmax(1).numpy())


def sureness(probabilities: NDArray[np.floating]) -> float:
    """Return the mean probability of the likeliest classes of the residues of a map."""
    return float(probabilities.max(1).mean()) if len(probabilities) else 0.0


def _described(atoms: Tensor) -> Tensor:
    """Return how neighbours lie (k, n, _OF_NEIGHBOUR), from their atoms in the frame of the residue, itself first."""
    own = atoms[:, :1]
    main, of_own = atoms[:, :, : len(BACKBONE)], own[:, :, : len(BACKBONE)]
    distances = torch.cat(
        [
            (main[..., None, :] - of_own[..., None, :, :]).norm(dim=-1).flatten(2),
            (atoms[:, :, [_CA, _CA, _NEXT, _PREVIOUS]] - own[:, :, [_NEXT, _PREVIOUS, _CA, _CA]]).norm(dim=-1),
        ],
        2,
    )
    marks = torch.tensor(_LANDMARKS)
    near = torch.exp(-((distances[..., None] - marks) / (0.25 * marks + 0.5)).square()).flatten(2)
    directions = F.normalize(torch.stack([main[:, :, _CA], main[:, :, _CB]], 2), dim=-1).flatten(2)
    side = F.normalize(main[:, :, _CB] - main[:, :, _CA], dim=-1)
    along = F.normalize(main[:, :, _C] - main[:, :, _N], dim=-1)
    return torch.cat([near, directions, side, along, torch.linalg.cross(side, along)], -1)
