"""The files of a search for a map's protein: all of them, or none.

``docs/checking.md`` describes them.
"""

from __future__ import annotations

from pathlib import Path

from edseg_engine import __version__
from edseg_engine.building.identify import Identification
from edseg_engine.building.search import Candidate
from edseg_engine.io.names import shown
from edseg_engine.io.result_files import ResultFiles, seconds, write_table
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
    result: Identification,
    directory: Path | str,
    *,
    overwrite: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Write the files of a search to `directory`.

    Raises
    ------
    OutputError
        If `directory` holds other files, or cannot be written.
    """
    with IDENTIFY_OUTPUT.writing(directory, identify_to_json(result), overwrite=overwrite, progress=progress) as new:
        rows = (_row(rank, candidate) for rank, candidate in enumerate(result.search.candidates, 1))
        write_table(new / "candidates.csv", IDENTIFY_COLUMNS, rows)


def identify_to_json(result: Identification) -> dict[str, object]:
    """Return the content of ``identify.json``."""
    search = result.search
    return {
        "schema": IDENTIFY_SCHEMA,
        "engine_version": __version__,
        "input": dict(result.input),
        "database": shown(result.database),
        "sequences": search.n_sequences,
        "resolution": round(result.resolution, 3),
        "weights": result.weights.to_json(),
        "device": result.device,
        "timings": seconds(result.timings),
        "warnings": list(result.warnings),
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
