"""Maps on their way from poor phases to better ones, to train on."""

from __future__ import annotations

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.errors import OptionError
from edseg_engine.improvement import best_reading
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import FoundResidues, find_residues, read_voxels
from edseg_engine.progress import Clock

#: Larger crystals are not read: that costs more than it teaches.
_RESIDUES = 400


def improved_maps(known: KnownMap, cycles: int) -> list[DensityMap]:
    """Return a map, and those that follow from reading it with the shipped weights, at most `cycles` of them in all.

    That of a refined model, one without amplitudes, or of a large crystal comes alone.
    """
    maps: list[DensityMap] = []

    def read(density: DensityMap) -> FoundResidues:
        maps.append(density)
        reading = read_voxels(density, SegmentOptions(), Clock())
        return find_residues(reading.prediction, reading.classifier)

    if cycles == 1 or known.amplitudes is None or len(known.residues.labels) > _RESIDUES:
        return [known.density]
    try:
        best_reading(known.density, known.amplitudes, cycles, read, lambda found: found.read)
    except OptionError:  # too few amplitudes
        return [known.density]
    return maps
