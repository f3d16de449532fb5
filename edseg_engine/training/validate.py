"""Validation by whole map: what a user would get from the weights of the moment."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.dataset.phases import REFINED, PhaseQuality
from edseg_engine.dataset.simulate import SimulationOptions
from edseg_engine.evaluation.evaluate import Protocol, score_maps
from edseg_engine.evaluation.given import score_given
from edseg_engine.evaluation.maps import experimental_maps, simulated_maps
from edseg_engine.evaluation.metrics import total
from edseg_engine.networks.weights import load_weights
from edseg_engine.resolution import ResolutionRange


class Validation:
    """Scores weights on a fixed set of maps that no training sees.

    Parameters
    ----------
    structures
        Folder with the split ``val``, simulated at the middle of the range.
    experimental
        Folder whose split ``dev`` is used where it has data of the range; None leaves it out.
    n_maps
        Maps of each kind, spread evenly over the split.
    qualities
        Of the phases of the experimental crystals: each is a kind of maps.
    """

    def __init__(
        self,
        structures: Path,
        experimental: Path | None,
        resolution_range: ResolutionRange,
        n_maps: int,
        qualities: Iterable[PhaseQuality] = (REFINED,),
    ) -> None:
        middle = (resolution_range.d_min + resolution_range.d_max) / 2
        every = max(1, sum(len(pack) for pack in structures_of_split(structures, "val")) // n_maps)
        simulated = simulated_maps(structures, "val", middle, SimulationOptions(), every)
        self.maps = list(itertools.islice(simulated, n_maps))
        low, high = resolution_range.d_min, resolution_range.d_max
        if experimental is None:
            return
        for quality in qualities:
            known = experimental_maps(experimental, "dev", 0.0, high, low, quality)
            self.maps += _spread([k for k in known if (k.density.d_min or 0) >= low], n_maps)

    def score(self, weights_path: Path, windows: int) -> dict[str, float]:
        """Return the columns of the validation log, with K given; `precision` and `found_over_true` with K found.

        Networks that cannot locate residues are given the locations.
        """
        weights, device = load_weights(weights_path), torch.device("cpu")
        protocol = Protocol(orientations=1, alone=True)
        if weights.net.config.points:
            scores = score_maps(self.maps, lambda _: weights, device, lambda _: None, protocol)
            given, found = total([s.k_given for s in scores]).figures(), total([s.k_found for s in scores]).figures()
        else:
            given = total([score_given(known, weights, device, protocol).residues for known in self.maps]).figures()
            found = given
        return {
            "windows": windows,
            "maps": len(self.maps),
            **{key: given[key] for key in ("rank1", "rank3", "recall")},
            **{key: found[key] for key in ("precision", "found_over_true")},
        }


def _spread(maps: Sequence[KnownMap], n: int) -> list[KnownMap]:
    return [maps[i * len(maps) // n] for i in range(n)] if len(maps) > n else list(maps)
