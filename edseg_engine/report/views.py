"""What the page shows of a map beside its row in the table: residues in space, composition, files."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.batch.records import Done, Entry
from edseg_engine.batch.settings import MapSettings
from edseg_engine.building.files import BUILD_OUTPUT
from edseg_engine.errors import EdsegError
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.names import shown
from edseg_engine.io.sequence import read_sequences
from edseg_engine.labels import LABELS, N_LABELS, label_of_letter, label_of_residue
from edseg_engine.results.reading import read_results

#: Å of a step of the coordinates in the page.
STEP = 0.05


@dataclass(frozen=True, eq=False)
class FoundResidues:
    """The residues of a result.

    Attributes
    ----------
    positions
        shape (k, 3): centroids, or CA atoms of a model, in Å.
    labels
        shape (k,): class of each.
    confidence
        shape (k,): 0 to 1; of a model, the probability of the residue's place in the sequence, NaN where it has none.
    """

    positions: NDArray[np.float64]
    labels: NDArray[np.intp]
    confidence: NDArray[np.float64]


def read_found(task: str, directory: Path) -> FoundResidues:
    """Return the residues of a result.

    Raises
    ------
    EdsegError
        If it is not there or damaged.
    """
    if task == "build":
        return _of_model(directory)
    residues = read_results(directory).residues
    return FoundResidues(
        np.array([residue.position for residue in residues]).reshape(-1, 3),
        np.array([LABELS.index(residue.ranks[0][0]) for residue in residues], np.intp),
        np.array([residue.confidence for residue in residues]),
    )


def _of_model(directory: Path) -> FoundResidues:
    structure = read_model(directory / BUILD_OUTPUT.others[0])
    built = json.loads((directory / BUILD_OUTPUT.document).read_text(encoding="utf-8"))["residues"]
    probability = {(each["chain"], each["number"]): each["docking_probability"] for each in built}
    found = [
        (label, residue.find_atom("CA", "*", gemmi.Element("C")), probability[address])
        for chain in structure[0]
        for residue in chain
        if (address := (chain.name, residue.seqid.num)) in probability  # others have no place in the sequence
        and (label := label_of_residue(residue.name)) is not None
    ]
    placed = [(label, atom.pos.tolist(), p) for label, atom, p in found if atom is not None]
    return FoundResidues(
        np.array([position for _, position, _ in placed]).reshape(-1, 3),
        np.array([label for label, _, _ in placed], np.intp),
        np.array([np.nan if p is None else p for _, _, p in placed]),
    )


def view_of(entry: Entry, task: str, directory: Path) -> dict[str, object]:
    """Return what the page shows of a map (JSON values).

    Parameters
    ----------
    entry
        What the journal says of it.
    directory
        Where its result is.
    """
    view: dict[str, object] = {
        "path": shown(entry.path),
        "settings": _changed_settings(entry.settings),
        "attempts": entry.attempts,
        "expected": _expected(entry.settings),
    }
    if not isinstance(entry.result, Done):
        return view
    said = entry.result.summary
    view |= {"files": dict(entry.result.files), **{k: said.get(k) for k in ("warnings", "timings", "spacegroup")}}
    try:
        found = read_found(task, directory)
    except (EdsegError, OSError, ValueError, KeyError, TypeError) as error:
        return view | {"problem": f"The result in {shown(directory)} cannot be shown: {shown(str(error))}"}
    return view | {
        "found": np.bincount(found.labels, minlength=N_LABELS).tolist(),
        "xyz": _packed(np.round(found.positions / STEP), np.int16),
        "labels": _packed(found.labels, np.uint8),
        "confidence": _packed(np.nan_to_num(255 * found.confidence, nan=-1), np.int16),
    }


def _changed_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that are not the defaults, files by their path."""
    usual = asdict(MapSettings())
    return {
        name: shown(str(value["path"])) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name in usual and value != usual[name]
    }


def _expected(settings: Mapping[str, object]) -> list[int] | None:
    """Return how often each class occurs in the sequence that was given, if it can still be read."""
    sequence = settings.get("sequence")
    if not isinstance(sequence, dict):
        return None
    try:
        return composition(read_sequences(Path(str(sequence["path"]))))
    except EdsegError:
        return None


def composition(sequences: Sequence[str]) -> list[int]:
    """Return how often each of the 17 classes occurs in sequences in one-letter code."""
    labels = [label_of_letter(letter) for sequence in sequences for letter in sequence]
    return np.bincount([label for label in labels if label is not None], minlength=N_LABELS).tolist()


def _packed(values: NDArray[np.floating] | NDArray[np.intp], kind: type[np.integer]) -> str:
    """Return whole numbers as base64 of little-endian ones; what is too large is cut."""
    limits = np.iinfo(kind)
    whole = np.clip(np.round(values), limits.min, limits.max).astype(np.dtype(kind).newbyteorder("<"))
    return base64.b64encode(whole.tobytes()).decode()
