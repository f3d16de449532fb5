"""The files of a search for a map's protein: all of them, or none.

``docs/checking.md`` describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edseg_engine import __version__
from edseg_engine.building.identify import Candidate, Search
from edseg_engine.io.names import shown
from edseg_engine.io.result_files import ResultFiles, write_table
from edseg_engine.progress import ProgressCallback, ignore_progress

IDENTIFY_SCHEMA = "edseg-identify/1"
IDENTIFY_OUTPUT = ResultFiles("identify.json", ("candidates.csv",))
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
    content = identify_to_json(search, source, database)
    with IDENTIFY_OUTPUT.writing(directory, content, overwrite=overwrite, progress=progress) as new:
        rows = (_row(rank, candidate) for rank, candidate in enumerate(search.candidates, 1))
        write_table(new / "candidates.csv", IDENTIFY_COLUMNS, rows)


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


def _row(rank: int, candidate: Candidate) -> list[object]:
    return [
        rank,
        candidate.name,
        f"{candidate.score:.1f}",
        f"{candidate.e_value:.2g}",
        candidate.covered,
        len(candidate.sequence),
        len(candidate.hits),
        candidate.description,
    ]
