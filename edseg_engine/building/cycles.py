"""The cycles of building: segment, trace, dock, build, refine, and again with the next map; the best is polished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from edseg_engine.building.alanines import as_chains, with_alanines, without_alanines
from edseg_engine.building.clock import BuildClock
from edseg_engine.building.coordinates import to_model
from edseg_engine.building.coot_engine import build_atoms, check, polish
from edseg_engine.building.dock import Docking, dock, rank_one
from edseg_engine.building.evidence import pooled
from edseg_engine.building.experiment import experimental_phases
from edseg_engine.building.first_map import first_map
from edseg_engine.building.merge import merge
from edseg_engine.building.ncs import with_copies
from edseg_engine.building.next_map import next_map
from edseg_engine.building.records import Address, BackboneResidues, Fragment, MapFile, Model, Segmenter
from edseg_engine.building.refinement import Refined, refine
from edseg_engine.building.results import BuildOptions, BuildResult, Checks, Cycle
from edseg_engine.building.trace import trace
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import Reflections
from edseg_engine.errors import BuildError, EdsegError
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import Amplitudes

#: Cycles of refinement of a model in between, and after each polishing, of which there are at most so many.
_REFINEMENT, _LAST_REFINEMENT, _POLISHINGS = 5, 4, 6
#: Cycles of refinement of anisotropic B-factors, in maps at least so fine (Å).
_ANISOTROPIC, _ANISOTROPIC_RESOLUTION = 6, 1.5
#: Steps of real-space refinement of all atoms where no refinement against amplitudes follows, or the map is coarse.
_REAL_SPACE, _REAL_SPACE_COARSE, _COARSE = 200, 100, 2.6
#: R-free must fall by this much for another cycle to be worth its time; by more if no residue came with it, for it
#: falls by refinement alone.
_LEAST_GAIN, _LEAST_GAIN_ALONE = 0.003, 0.01
#: A model with this share of its sequence is complete, or nearly, or may become it by what polishing adds.
_COMPLETE, _NEARLY_COMPLETE, _TO_POLISH = 0.985, 0.9, 0.95
#: So many times more residues than its chains can have mean that chains are missing.
_MORE_CHAINS = 1.15
#: So many cycles in a row without a gain, and one more, end a run: R-free says little while it is high.
_PATIENCE = 2
#: What earlier maps said of a residue counts as much as what the new one says.
_EARLIER = 0.5
#: Waters are put at peaks of mFo-DFc above this many sigma, in maps at least so fine (Å).
_WATER_SIGMA, _WATER_RESOLUTION = 3.0, 3.0

#: Beyond this R-free, or this much above R, a model deserves a warning.
_POOR_R_FREE, _LARGE_GAP = 0.42, 0.10

#: Letters of a sequence in a message.
_HEAD = 12

_NOTHING_FITS = (
    "No stretch of the chain fits the sequence. Check that it is the crystal's, or build without a sequence."
)


@dataclass(frozen=True, eq=False)
class _State:
    """A model with the map that belongs to it."""

    model: Model
    density: MapFile
    undocked: tuple[Fragment, ...]
    refined: Refined | None = None

    @property
    def r_free(self) -> float:
        return self.refined.r_free[-1] if self.refined and self.model.residues else float("inf")


@dataclass
class Cycles:
    """A run, after the file was read."""

    options: BuildOptions
    segmenter: Segmenter
    clock: BuildClock
    folder: Path
    amplitudes: Amplitudes | None
    cycles: list[Cycle] = field(default_factory=list)
    reading: tuple[str, ...] = ()
    #: What the maps of experimental phases have said so far.
    evidence: BackboneResidues | None = None
    #: What has been read in the first map, until it is used.
    first: BackboneResidues | None = None

    def run(self, density: DensityMap) -> BuildResult:
        d_min = density.d_min
        first = first_map(
            density, self.amplitudes, self.experiment, self.options.residues, self.segmenter, self.clock, self.folder
        )
        map_file, density, self.first = first.file, first.density, first.residues
        start, source = density, dict(density.source)
        best = state = None
        best_cycle = without_gain = 0
        for number in range(self.options.cycles):
            try:
                if state is not None:
                    map_file, density = self.next_map(state, start, number)
                state = self.cycle(number, density, map_file, state)
            except EdsegError:
                # A later map may be worse; the model that is there stays.
                if best is None:
                    raise
                break
            gain = 0.0
            if best is None or state.r_free < best.r_free:
                gain = best.r_free - state.r_free if best else float("inf")
                best, best_cycle = state, number
            grown = number == 0 or self.cycles[-1].built > self.cycles[-2].built or self.experiment is not None
            without_gain = 0 if gain >= (_LEAST_GAIN if grown else _LEAST_GAIN_ALONE) else without_gain + 1
            if number + 1 == self.options.cycles or self.amplitudes is None or self.is_final(state, without_gain):
                break
        assert best is not None
        if not best.model.residues:
            raise BuildError(_NOTHING_FITS)
        best = self.polished(best, d_min)
        checks = self.checked(best)
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
            tuple(self.warnings(best, checks)),
        )

    @cached_property
    def experiment(self) -> Reflections | None:
        """The experimental phases of the file, if it has any."""
        return experimental_phases(self.amplitudes) if self.amplitudes is not None else None

    def cycle_folder(self, number: int) -> Path:
        folder = self.folder / f"cycle-{number + 1}"
        folder.mkdir(exist_ok=True)
        return folder

    def cycle(self, number: int, density: DensityMap, map_file: MapFile, before: _State | None) -> _State:
        folder = self.cycle_folder(number)
        residues, self.first = self.first, None
        if residues is None:
            with self.clock.within("segment") as progress:
                residues = self.segmenter(density, progress)
        if before is None:
            self.reading = residues.warnings
        if self.experiment is not None:
            # The maps of a model show the types that it has, right or wrong; those of an experiment do not.
            if self.evidence is not None:
                residues = pooled(residues, self.evidence, _EARLIER)
            self.evidence = residues
        with self.clock.stage("trace"):
            docking = self.docking(residues)
            model = to_model(docking)
            kept: frozenset[Address] = frozenset()
        if before is not None:
            with self.clock.within("validate") as progress:
                correlation = check(before.model, map_file, folder, progress).correlation
            model, kept = merge(before.model, model, residues.symmetry, correlation)
        model, doubtful = with_copies(model, residues.symmetry)
        if model.residues:
            with self.clock.within("build") as progress:
                steps = self.real_space_steps(density.d_min)
                model = build_atoms(model, map_file, folder, progress, kept=kept, doubtful=doubtful, refine=steps)
        if self.amplitudes is not None:
            model = with_alanines(model, as_chains(docking.undocked))
        if not model.structure[0].count_atom_sites():
            raise BuildError(_NOTHING_FITS)
        state = _State(model, map_file, docking.undocked)
        if self.amplitudes is not None:
            state = self.refined(state, model, folder, _REFINEMENT)
        self.cycles.append(
            Cycle(
                len(residues),
                docking.n_docked,
                len(state.model.residues),
                state.refined.r_work[-1] if state.refined else None,
                state.refined.r_free[-1] if state.refined else None,
            )
        )
        return state

    def docking(self, residues: BackboneResidues) -> Docking:
        traced = trace(residues)
        if not traced.fragments:
            raise BuildError("No residue was found, so that there is nothing to build.")
        if not self.options.sequences:
            return rank_one(traced, self.options.around)
        return dock(traced, self.options.sequences, self.options.residues, self.options.around)

    def real_space_steps(self, d_min: float | None) -> int:
        if self.amplitudes is None:
            return _REAL_SPACE
        return _REAL_SPACE_COARSE if d_min is None or d_min > _COARSE else 0

    def expected(self, model: Model) -> int:
        """Return how many residues there are: of the chains begun, or found where chains must be missing."""
        of_chains, found = sum(map(len, model.sequences.values())), max(cycle.found for cycle in self.cycles)
        return self.options.residues or (of_chains if found < _MORE_CHAINS * of_chains else found)

    def is_final(self, state: _State, without_gain: int) -> bool:
        """Return whether another cycle is not worth its time after some `without_gain`."""
        if self.share(state.model) >= _COMPLETE:
            # A model that later maps completed may still mend what the first ones had wrong.
            return len(self.cycles) == 1 or without_gain > 0
        to_polish = self.share(state.model) >= _TO_POLISH and self.experiment is None
        return without_gain > (0 if to_polish else _PATIENCE)

    def next_map(self, state: _State, start: DensityMap, number: int) -> tuple[MapFile, DensityMap]:
        """Return the map of cycle `number`, which follows from the model of the one before, as a file and read."""
        assert state.refined
        map_file = next_map(
            state.refined.density,
            start,
            self.experiment,
            self.cycle_folder(number - 1),
            self.expected(state.model),
            self.share(state.model) >= _NEARLY_COMPLETE,
        )
        return map_file, self.read(map_file)

    def read(self, map_file: MapFile) -> DensityMap:
        return read_map(map_file.path, resolution=self.options.resolution, f_label=map_file.f, phi_label=map_file.phi)

    def share(self, model: Model) -> float:
        return len(model.residues) / max(1, self.expected(model))

    def polished(self, state: _State, d_min: float | None) -> _State:
        """Return the model with waters and what else its map shows, as long as R-free falls with them.

        In fine maps its B-factors become anisotropic in the end, if R-free falls.
        """
        if self.amplitudes is None:
            return state
        waters = d_min is None or d_min <= _WATER_RESOLUTION
        for number in range(_POLISHINGS):
            assert state.refined
            difference = state.refined.difference if waters else None
            folder = self.cycle_folder(self.options.cycles + number)
            try:
                with self.clock.within("polish") as progress:
                    model, alanines = without_alanines(state.model)
                    model = polish(model, state.density, difference, folder, progress, _WATER_SIGMA)
                after = self.refined(state, with_alanines(model, alanines), folder, _LAST_REFINEMENT)
            except EdsegError:  # the model that is there stays
                break
            gain = state.r_free - after.r_free
            state = after if gain >= 0 else state
            if gain < _LEAST_GAIN:
                break
        if d_min is not None and d_min <= _ANISOTROPIC_RESOLUTION:
            folder = self.cycle_folder(self.options.cycles + _POLISHINGS)
            with suppress(EdsegError):
                after = self.refined(state, state.model, folder, _ANISOTROPIC, anisotropic=True)
                state = after if state.r_free - after.r_free >= _LEAST_GAIN else state
        return state

    def refined(self, state: _State, model: Model, folder: Path, cycles: int, anisotropic: bool = False) -> _State:
        """Return the refined `model` in place of that of `state`."""
        assert self.amplitudes
        with self.clock.within("refine") as progress:
            refined = refine(model.structure, self.amplitudes, folder, progress, cycles=cycles, anisotropic=anisotropic)
        return replace(
            state, model=replace(model, structure=refined.structure), density=refined.density, refined=refined
        )

    def checked(self, state: _State) -> Checks:
        """Return what Coot thinks of the model. If its engine fails, that is nothing: the model is worth more."""
        try:
            with self.clock.within("validate") as progress:
                return check(state.model, state.density, self.folder, progress)
        except EdsegError:
            return Checks({}, {}, {}, None)

    def warnings(self, state: _State, checks: Checks) -> Iterator[str]:
        """Yield sentences on what the user should doubt."""
        yield from self.reading
        if checks.n_clashes is None:
            yield "Coot's engine failed to check the model: its outliers, clashes and fit to the map are not known."
        yield from _missing(self.options.sequences, state.model)
        if state.refined is None:
            if self.options.refine:
                yield "The file holds no amplitudes, so that the model is not refined against any and has no R-factors."
            return
        r_work, r_free = state.refined.r_work[-1], state.refined.r_free[-1]
        if r_free > _POOR_R_FREE:
            yield f"R-free is {r_free:.2f}: much of the model is wrong or missing."
        elif r_free - r_work > _LARGE_GAP:
            yield f"R-free lies {r_free - r_work:.2f} above R: some of the model is probably wrong."


def _missing(sequences: Sequence[str], model: Model) -> Iterator[str]:
    """Yield a sentence for each sequence of which there are fewer chains than it was given times."""
    built = Counter(model.sequences.values())
    for sequence, copies in Counter(sequences).items():
        if built[sequence] < copies:
            head = sequence if len(sequence) <= _HEAD else sequence[:_HEAD] + "..."
            yield f"Of {copies} chains of the sequence {head} ({len(sequence)} residues) {built[sequence]} were found."
