"""The map that building begins with: the file's own, or a better one that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edseg_engine.building.clock import BuildClock
from edseg_engine.building.experiment import is_of_experiment, write_map
from edseg_engine.building.records import BackboneResidues, MapFile, Segmenter
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Reflections, with_flat_solvent
from edseg_engine.errors import OptionError
from edseg_engine.improvement import ReadResidues, best_reading, require_crystal
from edseg_engine.io.mtz import write_map_mtz
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import Amplitudes

#: A map without experimental phases is improved in so many readings, at most.
_READINGS = 6


@dataclass(frozen=True, eq=False)
class FirstMap:
    """A map as a file, read, and the residues found in it if it has been searched."""

    file: MapFile
    density: DensityMap
    residues: BackboneResidues | None = None


def first_map(
    density: DensityMap,
    amplitudes: Amplitudes | None,
    experiment: Reflections | None,
    residues: int | None,
    segmenter: Segmenter,
    clock: BuildClock,
    folder: Path,
) -> FirstMap:
    """Return the map to begin with.

    Without amplitudes it is that of the file. That of an experiment itself gets flat solvent. Others get better phases
    as long as these are read more surely, see `edseg_engine.improvement.best_reading`.

    Parameters
    ----------
    density
        The map of the file, which lies in `folder` as ``map.ccp4``.
    experiment
        The experimental phases of the file, if it has any.
    residues
        Number of residues in the asymmetric unit, if it is known.
    """
    as_given = FirstMap(MapFile(folder / "map.ccp4"), density)
    if amplitudes is None:
        return as_given

    def read(density: DensityMap) -> FirstMap:
        with clock.within("segment") as progress:
            return FirstMap(as_given.file, density, segmenter(density, progress))

    if experiment is None:
        try:
            require_crystal(density, amplitudes)
        except OptionError:  # a file of several blocks, or with few amplitudes
            return as_given
        best = best_reading(density, amplitudes, _READINGS, read, _residues)
        if best.density is density:
            return best
        file = MapFile(folder / "improved.mtz", "FWT", "PHWT")
        write_map_mtz(best.density, file.path)
        return FirstMap(file, best.density, best.residues)
    if not is_of_experiment(density, experiment):
        return as_given
    found = read(density).residues if residues is None else None
    flat = with_flat_solvent(experiment, residues or len(found or ()))
    file = write_map(flat, flat.amplitudes * flat.centroids, folder / "flat.mtz")
    modified = read_map(file.path, resolution=density.d_min, f_label=file.f, phi_label=file.phi)
    return FirstMap(file, replace(modified, source=density.source, warnings=density.warnings))


def _residues(reading: FirstMap) -> ReadResidues:
    assert reading.residues is not None
    return ReadResidues(reading.residues.atoms, reading.residues.probabilities, reading.residues.confidence)
