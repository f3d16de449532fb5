"""The same windows of crystals at two resolutions, to learn super-resolution from (thesis, chapter 7)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.resolution import ResolutionRange
from edseg_engine.training.windows import CrystalSource, DataOptions, most_residues, random_window, tensors, visits

#: d_min in Å of what a generator reads and of what it should make of it.
COARSE, FINE = 3.0, 2.0
#: Windows that a crystal gives, from and to: they are small, and crystals at 2 Å are dear.
_TIMES = (10, 30)


def coarser(fine: KnownMap) -> KnownMap:
    """Return the map of the same crystal cut at `COARSE`."""
    return KnownMap(fine.density.low_passed(COARSE), fine.residues, fine.name)


def window_pair(fine: KnownMap, coarse: KnownMap, resolution_range: ResolutionRange, seed: int) -> dict[str, Tensor]:
    """Return a random window of the coarse map as `tensors`, and as ``fine`` (1, n, n, n) the fine density there."""
    # The same seed draws the same place, rotation and jitter.
    there, here = (random_window(m, resolution_range, np.random.default_rng(seed)) for m in (fine, coarse))
    return {**tensors(here, most_residues(resolution_range)), "fine": torch.from_numpy(there.density)[None]}


class PairStream(IterableDataset[dict[str, Tensor]]):
    """Endless windows, see `window_pair`, of crystals at `FINE`; the parameters are those of `WindowStream`."""

    def __init__(self, options: DataOptions, resolution_range: ResolutionRange, seed: tuple[int, ...]) -> None:
        self.options, self.range, self.seed = options, resolution_range, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        info = get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([*self.seed, info.id if info else 0])
        source = CrystalSource(self.options, self.range)

        def draw(rng: np.random.Generator) -> tuple[KnownMap, KnownMap]:
            fine = source.draw(rng)
            return fine, coarser(fine)

        for fine, coarse in visits(draw, self.options.pool, rng, _TIMES):
            yield window_pair(fine, coarse, self.range, int(rng.integers(2**32)))
