"""From a volume to the predictions for its voxels with density: class probabilities and votes for a centroid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from edseg_engine.devices import is_out_of_memory, largest_tile, out_of_memory, runs_bfloat16
from edseg_engine.inference.orientations import Orientation, orientations
from edseg_engine.inference.tiling import Tile, plan_tiles
from edseg_engine.inference.volume import Volume
from edseg_engine.labels import BACKGROUND, N_LABELS
from edseg_engine.networks.network import OFFSET_SCALE, Network
from edseg_engine.progress import Progress, ProgressCallback, part_of
from edseg_engine.resolution import ResolutionRange

#: Below this edge (voxels) a tile is not made smaller when memory runs out.
_SMALLEST_TILE = 32

#: Weight of the network that votes for atoms in the mean of both networks' class probabilities, and in that of their
#: votes for centroids: in maps that the other reads with the first `sureness` or less, and with the last or more.
_SURENESS, _SHARE_BESIDE, _SHARE_OF_VOTES = (0.4, 0.65), (0.6, 0.4), (1.0, 0.4)


@dataclass(frozen=True)
class VoxelPrediction:
    """What the network predicts for the occupied voxels of a volume.

    Attributes
    ----------
    index
        shape (m,): flat index of each voxel in its volume.
    positions
        float32, shape (m, 3): x, y, z in Å.
    votes
        float32, shape (m, 3): E = I(X) + position, the centroid (Å) that each voxel points at (thesis 6.2.1); NaN where
        the network does not vote.
    probabilities
        float16, shape (m, 17): class probabilities; what is missing to one is background.
    density
        float32, shape (m,): normalised density.
    atoms
        float16, shape (m, n, 3): vector in Å from each voxel to the points of its residue other than the centroid, in
        the order of `edseg_engine.labels.POINTS`; None where the network votes for centroids alone.
    views
        How many views of the region are pooled: each place is in the arrays about so many times.
    """

    index: NDArray[np.intp] = field(repr=False)
    positions: NDArray[np.float32] = field(repr=False)
    votes: NDArray[np.float32] = field(repr=False)
    probabilities: NDArray[np.float16] = field(repr=False)
    density: NDArray[np.float32] = field(repr=False)
    atoms: NDArray[np.float16] | None = field(default=None, repr=False)
    views: int = 1

    def __len__(self) -> int:
        return len(self.index)

    @property
    def weights(self) -> NDArray[np.float32]:
        """How much the vote of each voxel (m,) counts: the probability that it belongs to a residue."""
        return self.probabilities.sum(1, dtype=np.float32)

    @property
    def sureness(self) -> float:
        """Largest class probability of a voxel, given that it belongs to a residue, in the mean over all that do."""
        total = float(self.weights.sum(dtype=np.float64))
        return float(self.probabilities.max(1).sum(dtype=np.float64)) / total if total > 0 else 1.0


def predict_voxels(
    net: Network,
    volume: Volume,
    resolution_range: ResolutionRange,
    device: torch.device,
    progress: ProgressCallback,
    n_orientations: int = 1,
) -> VoxelPrediction:
    """Run the network on every tile of the volume; each occupied voxel is computed once in each orientation.

    Parameters
    ----------
    resolution_range
        What the network was trained on: its `frame` at the border of a tile is not trusted (l_frame, thesis 5.2.2), and
        networks of a fixed window get no tile larger than its `window`.
    n_orientations
        Rotations of the grid, 1 to 24, over which the answers are averaged.

    Raises
    ------
    DeviceError
        If there is not enough memory even for small tiles.
    """
    frame, edge = int(np.ceil(resolution_range.frame / volume.spacing)), largest_tile(device)
    if net.fixed_window:
        edge = min(edge, resolution_range.window)
    fast = net.for_inference(device, torch.bfloat16 if runs_bfloat16(device) else torch.float32)
    while True:
        try:
            tiles = plan_tiles(volume.occupied, frame, edge)
            return _predict_tiles(fast, volume, tiles, orientations(n_orientations), device, progress)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if edge <= _SMALLEST_TILE:
                raise out_of_memory(device) from error
        if device.type == "cuda":
            torch.cuda.empty_cache()
        edge //= 2


def predict_views(
    net: Network,
    volumes: Sequence[Volume],
    resolution_range: ResolutionRange,
    device: torch.device,
    progress: ProgressCallback,
    n_orientations: int = 1,
) -> list[VoxelPrediction]:
    """Run the network on several views of one region, see `predict_voxels`."""

    n = len(volumes)
    parts = [part_of(progress, i / n, (i + 1) / n) for i in range(n)]
    return [
        predict_voxels(net, v, resolution_range, device, p, n_orientations) for v, p in zip(volumes, parts, strict=True)
    ]


def mixed(first: VoxelPrediction, beside: VoxelPrediction, names: bool) -> VoxelPrediction:
    """Return what two networks that read the same volume say together, with the votes for atoms of the second.

    Parameters
    ----------
    first
        What the network of a resolution range says.
    beside
        What that of the backbone says. It has learned from poor phases: the less sure the first is, the more it counts.
    names
        Whether the second takes part in classes and votes for centroids.
    """
    if not names:
        return replace(first, atoms=beside.atoms)
    share, of_votes = (float(np.interp(first.sureness, _SURENESS, y)) for y in (_SHARE_BESIDE, _SHARE_OF_VOTES))
    kinds = first.probabilities.astype(np.float32), beside.probabilities.astype(np.float32)
    return replace(
        first,
        votes=(1 - of_votes) * first.votes + of_votes * beside.votes,
        probabilities=((1 - share) * kinds[0] + share * kinds[1]).astype(np.float16),
        atoms=beside.atoms,
    )


def pooled(predictions: Sequence[VoxelPrediction]) -> VoxelPrediction:
    """Return the voxels of several views of one region together, in the order of the views."""
    if len(predictions) == 1:
        return predictions[0]
    return VoxelPrediction(
        np.concatenate([p.index for p in predictions]),
        np.concatenate([p.positions for p in predictions]),
        np.concatenate([p.votes for p in predictions]),
        np.concatenate([p.probabilities for p in predictions]),
        np.concatenate([p.density for p in predictions]),
        None if predictions[0].atoms is None else np.concatenate([p.atoms for p in predictions if p.atoms is not None]),
        views=len(predictions),
    )


def _predict_tiles(
    net: Network,
    volume: Volume,
    tiles: Sequence[Tile],
    turns: Sequence[Orientation],
    device: torch.device,
    progress: ProgressCallback,
) -> VoxelPrediction:
    index = np.flatnonzero(volume.occupied.reshape(-1))
    place = np.full(volume.occupied.shape, -1, np.int32)
    place.reshape(-1)[index] = np.arange(len(index), dtype=np.int32)
    probabilities = np.empty((len(index), N_LABELS), np.float16)
    n_points = net.config.points
    offsets = np.full((len(index), 3), np.nan, np.float32)
    atoms = np.empty((len(index), max(0, n_points - 1), 3), np.float16)
    rotation = volume.axes.T.astype(np.float32)
    total, done = len(turns) * sum(tile.voxels for tile in tiles), 0
    for number, tile in enumerate(tiles):
        rows = place[tile.core]
        inside = rows >= 0
        mean = torch.zeros(int(inside.sum()), N_LABELS + 3 * n_points, device=device)
        for turn in turns:
            progress(Progress("network", done / total, f"tile {number + 1} of {len(tiles)}"))
            mean += _run_tile(net, volume, tile, turn, inside, device) / len(turns)
            done += tile.voxels
        probabilities[rows[inside]] = mean[:, :N_LABELS].to(torch.float16).cpu().numpy()
        if n_points:
            to_points = mean[:, N_LABELS:].reshape(-1, n_points, 3).cpu().numpy() @ rotation
            offsets[rows[inside]] = to_points[:, 0]
            atoms[rows[inside]] = to_points[:, 1:]
    progress(Progress("network", 1.0))
    positions = volume.positions(index).astype(np.float32)
    density = volume.values.reshape(-1)[index]
    votes = positions + offsets
    return VoxelPrediction(index, positions, votes, probabilities, density, atoms if n_points > 1 else None)


@torch.inference_mode()
def _run_tile(
    net: Network, volume: Volume, tile: Tile, turn: Orientation, inside: NDArray[np.bool_], device: torch.device
) -> torch.Tensor:
    """Return class probabilities and offsets (n, 17 + 3 * n_points) in Å of the core's voxels that are `inside`."""
    x = turn.turn(torch.from_numpy(np.ascontiguousarray(volume.values[tile.outer])).to(device))[None, None]
    x = x.to(next(net.parameters()).dtype).contiguous(memory_format=torch.channels_last_3d)
    scores, offsets = net(x)
    chosen = torch.from_numpy(inside).to(device)
    back = turn.inverse
    s = back.turn(scores[0]).permute(1, 2, 3, 0)[tile.inner][chosen].float().softmax(1)[:, :BACKGROUND]
    by_point = back.turn_vectors(offsets[0].unflatten(0, (net.config.points, 3))).flatten(0, 1)
    i = by_point.permute(1, 2, 3, 0)[tile.inner][chosen].float() * OFFSET_SCALE
    return torch.cat([s, i], 1)
