"""The way from a model and a map to what the map says about the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.checking.shifts import find_shifts, shifted_fit
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.devices import choose_device
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.names import shown
from edseg_engine.networks.card import WeightsInfo
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import MapPrediction, read_voxels
from edseg_engine.progress import Clock, ProgressCallback, ignore_progress
from edseg_engine.residues.classify import Classifier, classify
from edseg_engine.residues.known import KnownResidues, ResidueName, known_residues, voting_near_main_chain

#: A residue is doubtful if its own type is less probable than the first and another one more than the second.
IMPROBABLE, PROBABLE = 0.05, 0.5
#: Numbers of residues further apart than this belong to no gap of a loop.
_LONGEST_GAP = 200
#: Warn if a smaller share of the residues lies in density, or if cell edges differ by a larger one.
_LEAST_SEEN, _CELL_TOLERANCE = 0.5, 0.02


@dataclass(frozen=True)
class CheckedResidue:
    """A residue of the model and what its density looks like.

    Attributes
    ----------
    name
        What the model calls it.
    label
        Index in `LABELS` of its own type.
    probabilities
        Calibrated probability of each label, in the order of `LABELS`; None where there is no density for it.
    shift
        By how many residues the stretch that it is in is shifted; 0 for none.
    """

    name: ResidueName
    label: int
    probabilities: tuple[float, ...] | None
    shift: int = 0

    @property
    def own(self) -> float | None:
        """The probability of its own type."""
        return None if self.probabilities is None else self.probabilities[self.label]

    @property
    def likeliest(self) -> int | None:
        """Index of the most probable label."""
        return None if self.probabilities is None else int(np.argmax(self.probabilities))

    @property
    def doubtful(self) -> bool:
        """Whether the density shows another type."""
        return self.probabilities is not None and (
            self.probabilities[self.label] < IMPROBABLE and max(self.probabilities) > PROBABLE
        )


@dataclass(frozen=True)
class RegisterShift:
    """A stretch of a chain whose types fit a few residues off.

    Attributes
    ----------
    first, last
        The residues at its ends.
    by
        The density of each residue looks like the type of the residue so many places further on in the sequence.
    evidence
        Natural logarithm of how much better the shifted types fit.
    built, fitting
        One-letter codes of the types that the model has, and of those that fit the density (``?`` where the model
        lacks the residue).
    """

    first: ResidueName
    last: ResidueName
    by: int
    evidence: float
    built: str
    fitting: str


@dataclass(frozen=True)
class ModelCheck:
    """The result of a check."""

    model: Path
    residues: tuple[CheckedResidue, ...]
    shifts: tuple[RegisterShift, ...]
    #: What was read as a map (JSON values), d_min in Å, and the weights.
    input: Mapping[str, object]
    resolution: float
    weights: WeightsInfo
    device: str
    timings: Mapping[str, float]
    warnings: tuple[str, ...] = ()


def check(
    model: Path,
    source: DensityMap | Path | str,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 (frozen)
    progress: ProgressCallback = ignore_progress,
) -> ModelCheck:
    """Ask a map how probable the types of a model's residues are, and whether stretches of it are out of register.

    Parameters
    ----------
    model
        PDB or mmCIF file of a model that lies in the map.
    source
        The map, or the file to read it from.
    options
        As for `edseg_engine.segment`; what concerns numbers of residues and files has no effect.

    Raises
    ------
    EdsegError
        One of its subclasses, with a sentence for the user, for every input that cannot be used.
    """
    clock = Clock(progress)
    with clock.stage("read"):
        structure = read_model(model)
        residues = known_residues(structure[0])
    reading = read_voxels(source, options, clock)
    density, weights = reading.density, reading.weights
    with clock.stage("classify"):
        radius = weights.card.range.label_radius
        checked, shifts = compare(residues, *looks(residues, reading.prediction, reading.classifier, radius))
    return ModelCheck(
        model=model,
        residues=checked,
        shifts=shifts,
        input=dict(density.source),
        resolution=reading.resolution,
        weights=weights.info,
        device=choose_device(options.device).type,
        timings=clock.timings,
        warnings=(*reading.warnings, *_warnings(checked, structure.cell, density)),
    )


def looks(
    residues: KnownResidues, prediction: MapPrediction, classifier: Classifier, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the class probabilities (k, 17) of a model's residues, and whether there is density for each (k,).

    Parameters
    ----------
    radius
        Å from atoms of the main chain within which voxels speak for a residue.
    """
    instances = voting_near_main_chain(residues, prediction.region.symmetry, prediction.voxels, radius)
    in_frames = prediction.in_frames(residues.points[:, 1:])
    return classify(instances, prediction.voxels, classifier, in_frames).probabilities, instances.votes > 0


def compare(
    residues: KnownResidues, probabilities: NDArray[np.float64], seen: NDArray[np.bool_]
) -> tuple[tuple[CheckedResidue, ...], tuple[RegisterShift, ...]]:
    """Return each residue of a model, and its register shifts, by what they look like.

    Parameters
    ----------
    probabilities
        shape (k, 17): of the classes.
    seen
        shape (k,): whether there is density for a residue.
    """
    names, labels = residues.names, residues.labels
    by = np.zeros(len(names), int)
    shifts = []
    for _, group in groupby(range(len(names)), key=lambda i: names[i].chain):
        chain = np.array(list(group), np.intp)
        places = _places([names[i].number for i in chain])
        fit = shifted_fit(probabilities[chain], labels[chain], places)
        fit[~seen[chain]] = 0.0
        letters = {int(place): _letter(names[i].type) for place, i in zip(places, chain, strict=True)}
        for shift in find_shifts(fit):
            stretch = slice(shift.first, shift.last + 1)
            by[chain[stretch]] = shift.by
            shifts.append(
                RegisterShift(
                    names[chain[shift.first]],
                    names[chain[shift.last]],
                    shift.by,
                    shift.evidence,
                    "".join(letters[int(place)] for place in places[stretch]),
                    "".join(letters.get(int(place) + shift.by, "?") for place in places[stretch]),
                )
            )
    checked = tuple(
        CheckedResidue(name, int(labels[i]), tuple(probabilities[i].tolist()) if seen[i] else None, int(by[i]))
        for i, name in enumerate(names)
    )
    return checked, tuple(shifts)


def _places(numbers: list[str]) -> NDArray[np.intp]:
    """Return places (n,) in the sequence, from 0: gaps in the numbers of the residues are kept if they can be loops."""
    integers = np.array([gemmi.SeqId(number).num for number in numbers], int)
    steps = np.diff(integers)
    steps = np.where((steps >= 1) & (steps <= _LONGEST_GAP), steps, 1)
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.intp)


def _letter(name: str) -> str:
    return gemmi.find_tabulated_residue(name).one_letter_code.upper().strip() or "?"


def _warnings(residues: tuple[CheckedResidue, ...], cell: gemmi.UnitCell, density: DensityMap) -> Iterator[str]:
    edges = np.array([cell.parameters[:3], density.cell.parameters[:3]])
    if cell.is_crystal() and density.periodic and (np.abs(edges[0] / edges[1] - 1) > _CELL_TOLERANCE).any():
        yield (
            f"The model has the unit cell {_edges(cell)} Å, the map {_edges(density.cell)} Å: they may not belong "
            "together."
        )
    seen = sum(residue.probabilities is not None for residue in residues)
    if seen < _LEAST_SEEN * len(residues):
        yield (
            f"Only {seen} of {len(residues)} residues of the model have density in "
            f"{shown(str(density.source.get('file', 'the map')))}: does the model lie in this map?"
        )


def _edges(cell: gemmi.UnitCell) -> str:
    return " x ".join(f"{edge:.1f}" for edge in cell.parameters[:3])
