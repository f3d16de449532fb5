"""The files of a result: a JSON document and others beside it, all of them or none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edseg_engine.io.output import check_output_directory, output_directory
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress


@dataclass(frozen=True)
class ResultFiles:
    """The files that a kind of result can have.

    Attributes
    ----------
    document
        The JSON file. It is moved into place last: where it is, the result is complete.
    others
        Files and directories beside it, relative to its directory, with ``/``.
    """

    document: str
    others: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All files and directories of such a result."""
        return (*self.others, self.document)

    def check(self, directory: Path | str, overwrite: bool = False) -> None:
        """Make sure that a result can be written to `directory`, without writing anything.

        Raises
        ------
        OutputError
            If it cannot.
        """
        check_output_directory(directory, self.names, last=self.document, overwrite=overwrite)

    @contextmanager
    def writing(
        self,
        directory: Path | str,
        content: Mapping[str, object],
        *,
        overwrite: bool = False,
        progress: ProgressCallback = ignore_progress,
    ) -> Iterator[Path]:
        """Write the document, and give the folder in which to write the other files; see `output_directory`.

        Parameters
        ----------
        directory
            Where the result goes.
        content
            Of the document: JSON values.
        overwrite
            Whether an older result is replaced.
        progress
            Is called with the stage ``write``. If it stops the run, nothing is written.

        Raises
        ------
        OutputError
            If `directory` holds files that must not be replaced, or cannot be written.
        """
        progress(Progress("write", 0.0))
        with output_directory(directory, self.names, last=self.document, overwrite=overwrite) as folder:
            (folder / self.document).write_text(_document(content), encoding="utf-8")
            yield folder
            progress(Progress("write", 1.0))


def _document(content: Mapping[str, object]) -> str:
    """Return JSON with a line for each value and, in lists of objects, for each object."""
    # Indented text is made by an encoder in Python, which is ten times slower and makes files twice as large.
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    lines = []
    for name, value in content.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            text = "[\n  " + ",\n  ".join(map(encode, value)) + "\n ]"
        else:
            text = encode(value)
        lines.append(f" {encode(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def seconds(timings: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each stage as documents have them."""
    return {stage: round(time, 3) for stage, time in timings.items()}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a comma-separated table with a header line."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
