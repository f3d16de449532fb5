"""The page of a batch: one HTML file with everything in it, which no browser needs a network for."""

from __future__ import annotations

import html
import json
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from edseg_engine import __version__
from edseg_engine.batch.journal_file import read_journal
from edseg_engine.batch.names import PAGE
from edseg_engine.batch.records import Done, Entry, Failed
from edseg_engine.io.names import shown
from edseg_engine.io.output import output_file
from edseg_engine.labels import LABELS
from edseg_engine.report.palette import COLORS
from edseg_engine.report.views import STEP, view_of

_ASSETS = files("edseg_engine.report") / "assets"
#: Where the data of the maps go in the page.
_MARK = "<!-- data -->"


def write_report(directory: Path | str, out: Path | str | None = None) -> Path:
    """Write the page of a batch, which may still be running, and return where it is.

    Parameters
    ----------
    directory
        The output directory of the batch.
    out
        The file to write; None is ``report.html`` in `directory`. Links to results are relative to that directory.

    Raises
    ------
    ResultFormatError
        If `directory` does not hold a batch, or its journal is damaged.
    OutputError
        If the page cannot be written.
    """
    directory = Path(directory)
    target = directory / PAGE if out is None else Path(out)
    with read_journal(directory) as journal:
        task, entries = journal.task, journal.entries()
    before, after = _page(directory, task, entries).split(_MARK)
    with output_file(target) as new, new.open("w", encoding="utf-8") as file:
        file.write(before)
        for number, entry in enumerate(entries):
            file.write(_data(f"map-{number}", view_of(entry, task, directory / entry.name)))
        file.write(after)
    return target


def _page(directory: Path, task: str, entries: list[Entry]) -> str:
    """Return the page with `_MARK` in place of what is shown of single maps."""
    constants = {
        "labels": LABELS,
        "colors": [COLORS[label] for label in LABELS],
        "step": STEP,
        "task": task,
        "rows": [_row(entry) for entry in entries],
    }
    return Template(_asset("page.html")).substitute(
        title=html.escape(shown(directory.resolve().name)),
        written=html.escape(f"edseg {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M}"),
        style=_asset("page.css"),
        table=_data("table", constants),
        maps=_MARK,
        viewer=_asset("3Dmol-min.js"),
        script="\n".join(map(_asset, ("charts.js", "map.js", "table.js"))),
    )


def _row(entry: Entry) -> dict[str, object]:
    """Return the row of a map in the table (JSON values)."""
    row: dict[str, object] = {"name": entry.name, "state": entry.state, "seconds": round(entry.seconds, 1)}
    if isinstance(entry.result, Done):
        said = entry.result.summary
        warnings = said.get("warnings")
        row |= {key: said.get(key) for key in ("resolution", "residues", "confidence", "r_free")}
        row["warnings"] = len(warnings) if isinstance(warnings, list) else 0
    elif isinstance(entry.result, Failed):
        row |= {"error": entry.result.message, "kind": entry.result.kind}
    return row


def _data(name: str, values: object) -> str:
    """Return values as an element of the page that a script can read, whatever they contain."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
