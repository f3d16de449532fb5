"""The whole way from a map to a refined model: segment, trace, dock, build, refine, and again with the next map."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from edseg_engine.building.child import require_programs
from edseg_engine.building.coordinates import to_model
from edseg_engine.building.coot_engine import Checks, add_waters, build_atoms, check
from edseg_engine.building.dock import Docking, dock, rank_one
from edseg_engine.building.merge import merge
from edseg_engine.building.next_map import next_map
from edseg_engine.building.records import Address, BackboneResidues, FloatArray, Fragment, MapFile, Model
from edseg_engine.building.refinement import Refined, refine
from edseg_engine.building.trace import trace
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import BuildError, OptionError
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import Amplitudes, read_amplitudes
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

#: Stages of a run, in their order; those but the first, the last two and the waters recur with every cycle.
STAGES = ("read", "segment", "trace", "build", "refine", "waters", "validate", "write")
#: Cycles of refinement of a model in between and of the last.
_REFINEMENT, _LAST_REFINEMENT = 5, 6
#: Steps of real-space refinement of all atoms where no refinement against amplitudes follows, or the map is coarse.
_REAL_SPACE, _REAL_SPACE_COARSE, _COARSE = 200, 100, 2.6
#: R-free must fall by this much for another cycle to be worth its time.
_LEAST_GAIN = 0.003
#: A model with this share of its sequence is complete.
_COMPLETE = 0.985
#: Waters are put at peaks of mFo-DFc above this many sigma, in maps at least so fine (Å).
_WATER_SIGMA, _WATER_RESOLUTION = 3.5, 3.0

#: Finds the residues of a map, with their backbones.
Segmenter = Callable[[DensityMap, ProgressCallback], BackboneResidues]


@dataclass(frozen=True)
class BuildOptions:
    """Options of a run.

    Attributes
    ----------
    sequences
        One-letter code of each chain; one that occurs twice has two copies. None leaves the chains without register.
    residues
        Number of residues in the asymmetric unit; None tells it from the sequences and what is found.
    cycles
        At most so many times a new map is made and read.
    refine
        Whether to refine against the amplitudes of the file, if it has any.
    around
        CA positions (n, 3) in Å of a known part of the model: the new one is put around it.
    resolution
        d_min in Å in place of what the file tells.
    """

    sequences: tuple[str, ...] = ()
    residues: int | None = None
    cycles: int = 3
    refine: bool = True
    around: FloatArray | None = None
    resolution: float | None = None

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise OptionError(f"The number of cycles must be at least 1, not {self.cycles}.")
        if self.residues is not None and self.residues < 1:
            raise OptionError(f"The number of residues must be at least 1, not {self.residues}.")


@dataclass(frozen=True)
class Cycle:
    """What one cycle came to: residues found, in the sequence, and built; R-factors if there are amplitudes."""

    found: int
    docked: int
    built: int
    r_work: float | None
    r_free: float | None


@dataclass(frozen=True, eq=False)
class BuildResult:
    """A model and what is to be known of it.

    Attributes
    ----------
    model
        The best one, by R-free.
    checks
        Fit to the map and shapes.
    cycles
        One entry a cycle.
    best
        Index of the cycle that the model comes from.
    r_work, r_free
        Of the model in the end, with waters; None without amplitudes.
    undocked
        Fragments without a sure place in the sequence, which are no part of the model.
    reflections
        Content of an MTZ file with 2mFo-DFc and mFo-DFc; None without amplitudes.
    source
        What was read.
    timings
        Seconds of each stage.
    warnings
        Sentences for the user.
    """

    model: Model
    checks: Checks
    cycles: tuple[Cycle, ...]
    best: int
    r_work: float | None
    r_free: float | None
    undocked: tuple[Fragment, ...]
    reflections: bytes | None
    source: dict[str, object]
    resolution: float | None
    timings: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def n_waters(self) -> int:
        return sum(residue.is_water() for chain in self.model.structure[0] for residue in chain)


@dataclass
class _Clock:
    progress: ProgressCallback
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[ProgressCallback]:
        self.progress(Progress(name, 0.0))
        start = time.perf_counter()
        yield lambda p: self.progress(replace(p, stage=name))
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start
        self.progress(Progress(name, 1.0))


@dataclass(frozen=True, eq=False)
class _State:
    """A model with the map that belongs to it."""

    model: Model
    density: MapFile
    undocked: tuple[Fragment, ...]
    refined: Refined | None = None

    @property
    def r_free(self) -> float:
        return self.refined.r_free[-1] if self.refined else float("inf")


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
    clock = _Clock(progress)
    with tempfile.TemporaryDirectory(prefix="edseg-") as name:
        folder = Path(name)
        with clock.stage("read"):
            density = read_map(source, resolution=options.resolution)
            amplitudes = read_amplitudes(source) if options.refine else None
            write_ccp4(density.values, density.grid, folder / "map.ccp4")
        return _Run(options, segmenter, clock, folder, amplitudes).run(density)


@dataclass
class _Run:
    options: BuildOptions
    segmenter: Segmenter
    clock: _Clock
    folder: Path
    amplitudes: Amplitudes | None
    cycles: list[Cycle] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self, density: DensityMap) -> BuildResult:
        source, d_min = dict(density.source), density.d_min
        map_file = MapFile(self.folder / "map.ccp4")
        best, best_cycle = None, 0
        for number in range(self.options.cycles):
            state = self.cycle(number, density, map_file, best)
            if best is None or state.r_free < best.r_free:
                gain = best.r_free - state.r_free if best else float("inf")
                best, best_cycle = state, number
            else:
                gain = 0.0
            if gain < _LEAST_GAIN or self.amplitudes is None or self.share(best.model) >= _COMPLETE:
                break
            if number + 1 < self.options.cycles:
                assert best.refined
                map_file = next_map(
                    best.refined.density,
                    self.amplitudes,
                    self.cycle_folder(number),
                    self.expected(best.model),
                    self.share(best.model) > 0.9,
                )
                density = read_map(map_file.path, f_label=map_file.f, phi_label=map_file.phi)
        assert best is not None
        best = self.with_waters(best, d_min)
        with self.clock.stage("validate") as progress:
            checks = check(best.model, best.density, self.folder, progress)
        return BuildResult(
            best.model,
            checks,
            tuple(self.cycles),
            best_cycle,
            best.refined.r_work[-1] if best.refined else None,
            best.refined.r_free[-1] if best.refined else None,
            best.undocked,
            best.refined.density.path.read_bytes() if best.refined else None,
            source,
            d_min,
            self.clock.timings,
            tuple(self.warnings),
        )

    def cycle_folder(self, number: int) -> Path:
        folder = self.folder / f"cycle-{number + 1}"
        folder.mkdir(exist_ok=True)
        return folder

    def cycle(self, number: int, density: DensityMap, map_file: MapFile, best: _State | None) -> _State:
        folder = self.cycle_folder(number)
        with self.clock.stage("segment") as progress:
            residues = self.segmenter(density, progress)
        with self.clock.stage("trace"):
            docking = self.docking(residues)
            model = to_model(docking)
            kept: frozenset[Address] = frozenset()
        if best is not None:
            with self.clock.stage("validate") as progress:
                correlation = check(best.model, map_file, folder, progress).correlation
            model, kept = merge(best.model, model, residues.symmetry, correlation)
        with self.clock.stage("build") as progress:
            model = build_atoms(
                model, map_file, folder, progress, kept=kept, refine=self.real_space_steps(density.d_min)
            )
        refined = None
        if self.amplitudes is not None:
            with self.clock.stage("refine") as progress:
                refined = refine(model.structure, self.amplitudes, folder, progress, cycles=_REFINEMENT)
            model = replace(model, structure=refined.structure)
        self.cycles.append(
            Cycle(
                len(residues),
                docking.n_docked,
                len(model.residues),
                refined.r_work[-1] if refined else None,
                refined.r_free[-1] if refined else None,
            )
        )
        return _State(model, refined.density if refined else map_file, docking.undocked, refined)

    def docking(self, residues: BackboneResidues) -> Docking:
        traced = trace(residues)
        if not traced.fragments:
            raise BuildError("No residue was found, so that there is nothing to build.")
        if not self.options.sequences:
            return rank_one(traced, self.options.around)
        docking = dock(traced, self.options.sequences, self.options.residues, self.options.around)
        if not docking.chains:
            raise BuildError(
                f"None of the {len(traced.fragments)} stretches of chain fits the sequence. Check that it is the "
                "crystal's, or build without a sequence."
            )
        return docking

    def real_space_steps(self, d_min: float | None) -> int:
        if self.amplitudes is None:
            return _REAL_SPACE
        return _REAL_SPACE_COARSE if d_min is None or d_min > _COARSE else 0

    def expected(self, model: Model) -> int:
        return self.options.residues or sum(map(len, model.sequences.values()))

    def share(self, model: Model) -> float:
        return len(model.residues) / max(1, self.expected(model))

    def with_waters(self, state: _State, d_min: float | None) -> _State:
        """Return the model with waters, if R-free falls with them."""
        if state.refined is None or self.amplitudes is None:
            return state
        folder = self.cycle_folder(self.options.cycles)
        model = state.model
        with self.clock.stage("waters") as progress:
            if d_min is None or d_min <= _WATER_RESOLUTION:
                model = add_waters(model, state.refined.difference, folder, progress, _WATER_SIGMA)
        with self.clock.stage("refine") as progress:
            refined = refine(model.structure, self.amplitudes, folder, progress, cycles=_LAST_REFINEMENT)
        if refined.r_free[-1] > state.r_free:
            return state
        return _State(replace(model, structure=refined.structure), refined.density, state.undocked, refined)
