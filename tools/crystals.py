"""The crystals that a tool was asked for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edseg_engine.dataset.experimental import ExperimentalEntry, read_index
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.io.names import shown


def chosen_crystals(
    folder: Path, split: str, names: Collection[str] | None, *, sequences: bool = False
) -> list[tuple[int, ExperimentalEntry]]:
    """Return crystals of an index with their places in its split, in its order.

    Parameters
    ----------
    folder
        Of experimental crystals.
    split
        Of its index.
    names
        Of the crystals; None for all of the split.
    sequences
        Whether their sequences are needed.

    Raises
    ------
    OptionError
        If the split has no crystal of one of the names.
    TrainingDataError
        If the index cannot be read, or gives no sequences of a crystal where they are needed.
    """
    entries = read_index(folder, split)
    if unknown := set(names or ()) - {entry.name for entry in entries}:
        raise OptionError(f"There are no such crystals in the split {split!r}: {', '.join(sorted(unknown))}.")
    chosen = [(place, entry) for place, entry in enumerate(entries) if names is None or entry.name in names]
    if sequences and (bare := [entry.name for _, entry in chosen if not entry.sequences]):
        raise TrainingDataError(
            f"{shown(folder / 'index.tsv')} gives no sequences of {', '.join(bare)}: it needs a column 'sequences'."
        )
    return chosen
