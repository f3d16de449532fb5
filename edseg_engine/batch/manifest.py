"""Manifests: CSV or JSON lines that name maps, one a line, and what each is asked for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edseg_engine.batch.names import check_name
from edseg_engine.batch.settings import NAMES, MapSettings, setting_of_text
from edseg_engine.errors import EdsegError, OptionError
from edseg_engine.io.files import opened, read_text
from edseg_engine.io.names import shown

SUFFIXES = (".csv", ".jsonl")
#: Columns beside the settings.
_OTHERS = ("path", "name")
_LARGEST = 1 << 28


@dataclass(frozen=True)
class MapInput:
    """A map that is to be worked on.

    Attributes
    ----------
    path
        Its file.
    settings
        What it is asked for.
    name
        Of its directory in the output; None leaves the choice to the batch.
    refusal
        Why it cannot be worked on; empty if it can.
    """

    path: Path
    settings: MapSettings
    name: str | None = None
    refusal: str = ""


def is_manifest(path: Path) -> bool:
    """Return whether a file is a manifest, by its name."""
    return path.suffix.lower() in SUFFIXES


def read_manifest(path: Path, defaults: MapSettings) -> list[MapInput]:
    """Read a manifest. Relative paths in it start at its folder; an empty field leaves the default.

    A value that a setting cannot have makes its map one with a `refusal`, and leaves the others alone.

    Parameters
    ----------
    defaults
        Settings of what the manifest does not mention.

    Raises
    ------
    OptionError
        If the file cannot be read as a manifest, names a column that does not exist, or a map's output would lie
        outside of the output directory.
    """
    with opened(path, OptionError) as file:
        content = read_text(file, _LARGEST, shown(path), OptionError)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OptionError(f"{shown(path)} is no manifest: it is not UTF-8 text.") from None
    rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
    return [_map_input(row, where, path.parent, defaults) for where, row in rows(text, shown(path))]


def _csv_rows(text: str, name: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        _check_columns(columns, name)
        reader.fieldnames = columns
        for row in reader:
            where = f"{name}, line {reader.line_num}"
            if None in row:
                raise OptionError(f"{where}: there are more fields than columns; put quotes around commas.")
            yield where, {key: (value or "").strip() for key, value in row.items()}
    except csv.Error as error:
        raise OptionError(f"{name}, line {reader.line_num}: it is not CSV: {error}.") from None


def _json_rows(text: str, name: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for number, line in enumerate(text.split("\n")):
        where = f"{name}, line {number + 1}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise OptionError(f'{where}: it is not JSON; each line is an object such as {{"path": "a.mtz"}}.') from None
        if not isinstance(row, dict):
            raise OptionError(f"{where}: it is not an object with a path.")
        _check_columns(list(row), where)
        yield where, {key: _text_of(value) for key, value in row.items()}


def _text_of(value: object) -> str:
    """Return a JSON value as a CSV file would have it."""
    if isinstance(value, list):
        return " ".join(map(_text_of, value))
    return "" if value is None else str(value).strip()


def _check_columns(columns: list[str], where: str) -> None:
    known = (*_OTHERS, *NAMES)
    for column in columns:
        if column not in known:
            raise OptionError(f"{where}: there is no column {column!r}; there are {', '.join(known)}.")
        if columns.count(column) > 1:
            raise OptionError(f"{where}: the column {column} is there twice.")
    if "path" not in columns:
        raise OptionError(f"{where}: there is no column path, which says where each map is.")


def _map_input(row: Mapping[str, str], where: str, folder: Path, defaults: MapSettings) -> MapInput:
    given = {key: value for key, value in row.items() if value}
    if "path" not in given:
        raise OptionError(f"{where}: the path is empty.")
    if "\0" in "".join(given.values()):
        raise OptionError(f"{where}: there is a character in it that no path has (NUL).")
    try:
        name = check_name(given["name"]) if "name" in given else None
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    path = folder / given["path"]
    try:
        values = {key: setting_of_text(key, value, folder) for key, value in given.items() if key not in _OTHERS}
    except EdsegError as error:
        return MapInput(path, defaults, name, f"{where}: {error}")
    return MapInput(path, replace(defaults, **values), name)  # type: ignore[arg-type]
