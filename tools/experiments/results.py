"""The figures of an experiment, in a CSV file that grows row by row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edseg_engine.errors import TrainingDataError
from edseg_engine.io.output import output_file

Row = Mapping[str, str | float]


class Results:
    """Rows that are measured once: those that the file has already are read from it.

    Parameters
    ----------
    path
        The CSV file; all rows have the same columns.

    Raises
    ------
    TrainingDataError
        If the file is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        if path.exists():
            try:
                with open(path, newline="", encoding="utf-8") as file:
                    self.rows = list(csv.DictReader(file))
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise TrainingDataError(f"{path} cannot be read as earlier results ({error}); remove it.") from error

    def of(self, key: Mapping[str, str]) -> list[dict[str, str]]:
        """Return the rows whose columns have the values of `key`."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in key.items())]

    def measure(self, key: Mapping[str, str], make: Callable[[], Iterable[Row]]) -> list[dict[str, str]]:
        """Return the rows of `key`; if there are none, `make` them first, and write them all at once."""
        if not self.of(key):
            made = [{**key, **{name: _text(value) for name, value in row.items()}} for row in make()]
            self._write([*self.rows, *made])
            for row in made:
                print(f"{self.path.stem}: " + ", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        return self.of(key)

    def _write(self, rows: list[dict[str, str]]) -> None:
        with output_file(self.path) as path, open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
        self.rows = rows


def column(rows: Iterable[Mapping[str, str]], name: str) -> list[float]:
    """Return the numbers of a column."""
    return [float(row[name]) for row in rows]


def _text(value: str | float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
