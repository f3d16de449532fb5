"""The whole way from a map file to a refined model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.child import require_programs
from edseg_engine.building.clock import BuildClock
from edseg_engine.building.cycles import Cycles
from edseg_engine.building.records import FloatArray, Segmenter
from edseg_engine.building.refinement import test_set
from edseg_engine.building.results import BuildOptions, BuildResult
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.io.temporary import temporary_directory
from edseg_engine.progress import ProgressCallback, ignore_progress

#: Stages of a run, in their order; all but the first and the last recur with every cycle.
STAGES = ("read", "segment", "trace", "build", "refine", "polish", "validate", "write")


def build(
    source: Path | str,
    options: BuildOptions,
    segmenter: Segmenter,
    progress: ProgressCallback = ignore_progress,
) -> BuildResult:
    """Build a model into a map.

    Parameters
    ----------
    source
        MTZ, structure-factor mmCIF, CCP4 or MRC file. Amplitudes in it are refined against.
    options
        See `BuildOptions`.
    segmenter
        Finds the residues of a map.
    progress
        Called often; raise `edseg_engine.errors.Cancelled` from it to stop.

    Raises
    ------
    DependencyError
        If Coot's engine or servalcat is not installed.
    BuildError
        If there is nothing to build, or one of these programs fails.
    EdsegError
        One of its subclasses for input that cannot be used.
    """
    require_programs()
    clock = BuildClock(progress)
    with temporary_directory() as folder:
        with clock.stage("read"):
            density = read_map(
                source, resolution=options.resolution, f_label=options.f_label, phi_label=options.phi_label
            )
            amplitudes = read_amplitudes(source) if options.refine else None
            if amplitudes is not None:
                amplitudes = replace(amplitudes, free=test_set(amplitudes))
                if options.resolution is not None:
                    amplitudes = amplitudes.cut(options.resolution)
            # Coot's engine does not know of origins: the model is built without and moved in the end.
            origin = np.array(density.grid.origin)
            density = replace(density, grid=replace(density.grid, origin=(0.0, 0.0, 0.0)))
            if options.around is not None:
                options = replace(options, around=options.around - origin)
            write_ccp4(density.values, density.grid, folder / "map.ccp4")
        result = Cycles(options, segmenter, clock, folder, amplitudes).run(density)
        return _moved(result, origin) if origin.any() else result


def _moved(result: BuildResult, by: FloatArray) -> BuildResult:
    """Return the result moved by (x, y, z) in Å."""
    structure = result.model.structure.clone()
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                atom.pos += gemmi.Position(*by.tolist())
    undocked = tuple(replace(fragment, atoms=fragment.atoms + by) for fragment in result.undocked)
    return replace(result, model=replace(result.model, structure=structure), undocked=undocked)
