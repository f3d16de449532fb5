"""The files of a search for a map's protein: all of them, or none.

``docs/checking.md`` describes them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from edseg_engine import __version__
from edseg_engine.building.identify import Search
from edseg_engine.io.names import shown
from edseg_engine.io.output import check_output_directory, output_directory
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

IDENTIFY_SCHEMA = "edseg-identify/1"
#: The last is written last: where it is, the others are.
IDENTIFY_FILES: tuple[str, ...] = ("candidates.csv", "identify.json")
#: Columns of ``candidates.csv``.
IDENTIFY_COLUMNS: tuple[str, ...] = (
    "rank",
    "name",
    "score",
    "e_value",
    "covered",
    "length",
    "fragments",
    "description",
)


def check_identify_output(directory: Path | str, overwrite: bool = False) -> None:
    """Make sure that `write_identify` can write to `directory`, without writing anything.

    Raises
    ------
    OutputError
        If it cannot.
    """
    check_output_directory(directory, IDENTIFY_FILES, last=IDENTIFY_FILES[-1], overwrite=overwrite)


def write_identify(
    search: Search,
    source: Mapping[str, object],
    database: Path,
    directory: Path | str,
    *,
    overwrite: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Write what was found in a `database` for the map `source` (JSON values) to `directory`.

    Raises
    ------
    OutputError
        If `directory` holds other files, or cannot be written.
    """
    progress(Progress("write", 0.0))
    with output_directory(directory, IDENTIFY_FILES, last=IDENTIFY_FILES[-1], overwrite=overwrite) as new:
        with (new / "candidates.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(IDENTIFY_COLUMNS)
            for rank, c in enumerate(search.candidates, 1):
                row = [rank, c.name, f"{c.score:.1f}", f"{c.e_value:.2g}", c.covered, len(c.sequence), len(c.hits)]
                writer.writerow([*row, c.description])
        text = json.dumps(identify_to_json(search, source, database), indent=1, ensure_ascii=False, allow_nan=False)
        (new / "identify.json").write_text(text + "\n", encoding="utf-8")
    progress(Progress("write", 1.0))


def identify_to_json(search: Search, source: Mapping[str, object], database: Path) -> dict[str, object]:
    """Return the content of ``identify.json``."""
    return {
        "schema": IDENTIFY_SCHEMA,
        "engine_version": __version__,
        "input": dict(source),
        "database": shown(database),
        "sequences": search.n_sequences,
        "warnings": list(search.warnings),
        "fragments": list(search.fragments),
        "candidates": [
            {
                "name": candidate.name,
                "description": candidate.description,
                "score": round(candidate.score, 2),
                "e_value": candidate.e_value,
                "covered": candidate.covered,
                "sequence": candidate.sequence,
                "hits": [
                    {
                        "fragment": hit.fragment + 1,
                        "first": hit.first,
                        "last": hit.last,
                        "score": round(hit.score, 2),
                        "e_value": hit.p_value * search.n_sequences,
                    }
                    for hit in candidate.hits
                ],
            }
            for candidate in search.candidates
        ],
    }
