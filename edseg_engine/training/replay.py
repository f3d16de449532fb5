"""Windows used more than once, for a GPU that trains faster than the processors beside it make windows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edseg_engine.inference.orientations import orientations, turned_points
from edseg_engine.options import MOST_ORIENTATIONS

#: Windows that are kept; 2.5 GB.
_CAPACITY = 2048
#: Batches' worth of windows without which no batch is drawn, lest the first windows come up again and again.
_FIRST = 8


class Replay:
    """Endless batches in which each fresh window comes up about `times` times, far apart and turned another way.

    Fresh windows take the places of the oldest in a store on their device. A batch is drawn from all that are there and
    turned to one of the 24 orientations of the grid.

    Parameters
    ----------
    fresh
        Batches of fresh windows on the device (see `edseg_engine.training.windows.WindowStream`), all of one size.
    times
        Size of a batch drawn, as a multiple of that of a fresh one.
    """

    def __init__(
        self, fresh: Iterator[dict[str, Tensor]], times: int, capacity: int = _CAPACITY, spacing: float = 1.0
    ) -> None:
        self.fresh, self.times, self.capacity, self.spacing = fresh, times, capacity, spacing
        self._store: dict[str, Tensor] = {}
        self._seen = 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self

    def __next__(self) -> dict[str, Tensor]:
        size = self._add()
        while self._seen < min(self.capacity, _FIRST * size):
            self._add()
        kept = min(self._seen, self.capacity)
        device = self._store["density"].device
        chosen = torch.randint(kept, (size,), device=device)
        batch = {k: v[chosen] for k, v in self._store.items()}
        turn = orientations(MOST_ORIENTATIONS)[int(torch.randint(MOST_ORIENTATIONS, ()))]
        return {
            "density": turn.turn(batch["density"]).contiguous(),
            "classes": turn.turn(batch["classes"]),
            "residues": turn.turn(batch["residues"]),
            "points": turned_points(batch["points"], turn, (batch["density"].shape[-1] - 1) * self.spacing),
        }

    def _add(self) -> int:
        """Take one fresh batch in; returns the size of a batch to draw."""
        fresh = next(self.fresh)
        n = len(fresh["density"])
        if not self._store:
            self._store = {k: v.new_empty((self.capacity, *v.shape[1:])) for k, v in fresh.items()}
        device = fresh["density"].device
        places = (self._seen + torch.arange(n, device=device)) % self.capacity
        for key, value in fresh.items():
            self._store[key][places] = value
        self._seen += n
        return n * self.times
