"""Results as JSON values: in PyMOL's session files, and in the journal of a run's folder.

What was stored by earlier versions is brought to the present schema; what is damaged is left out, and said so.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymol_edseg import checked, storage
from pymol_edseg.console import complain
from pymol_edseg.journal import Journal
from pymol_edseg.objects import define_colors
from pymol_edseg.palette import LABELS
from pymol_edseg.proposals import Segmentation
from pymol_edseg.records import MapReference, ViewSettings, to_json
from pymol_edseg.state import Check, Completion, Result, State, state_of

#: Key in PyMOL's session, and version of what is stored there.
KEY, SCHEMA = "edseg", "edseg-session/2"
_FIRST_SCHEMA = "edseg-session/1"


def decisions_to_json(result: Result) -> dict[str, Any]:
    """Return all that the user decided and chose, without what the engine found."""
    return {
        "schema": SCHEMA,
        "map": to_json(result.map),
        "view": to_json(result.view),
        "journal": result.journal.to_json(),
        "completion": result.completion.to_json() if result.completion else None,
    }


def decisions_from_json(name: str, data: Segmentation, stored: Any, lost: list[str]) -> Result:
    """Return a result with what `decisions_to_json` made; what is damaged is left out and added to `lost`."""
    nothing: Mapping[str, Any] = {}
    values = checked.kept(lambda: _migrated(stored), nothing, "all decisions", lost)
    if not values:
        return Result(name, data, view=ViewSettings(shown=LABELS))
    ids = {proposal.id for proposal in data.proposals}
    result = Result(
        name,
        data,
        checked.kept(lambda: checked.optional(MapReference.from_json, values["map"]), None, "the map's name", lost),
        ViewSettings.from_json(values.get("view", {}), lost),
        Journal.from_json(values.get("journal"), ids, lost),
    )
    if (kept := values.get("completion")) is not None:
        read = functools.partial(Completion.from_json, kept, ids, result.crystal)
        result.completion = checked.kept(read, None, "the model to complete", lost)
    return result


def is_run(folder: Path) -> bool:
    """Return whether decisions may be written to a folder: the plugin made it, or a journal of its is in it."""
    try:
        return storage.is_own(folder) or _knows(storage.read_journal(folder)["schema"])
    except checked.DAMAGE:
        return False


def _knows(schema: object) -> bool:
    return schema in (_FIRST_SCHEMA, SCHEMA)


def _migrated(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return stored decisions in the present schema; raises an error of `checked.DAMAGE`."""
    if not _knows(stored["schema"]):
        raise ValueError(f"{stored['schema']!r} is not a known schema")
    if stored["schema"] == SCHEMA:
        return stored
    details: Mapping[str, Any] = stored["details"]
    name = details.get("map")
    return {
        "map": {"name": name, "state": details.get("state", 1), "moved": details.get("moved")} if name else None,
        "view": {
            "color": details.get("color", ViewSettings.color),
            "label": details.get("label", ViewSettings.label),
            # It was a fraction.
            "min_confidence": 100 * checked.number(details.get("min_confidence", 0.0)),
            "shown": stored.get("shown", ()),
            "level": stored.get("level"),
        },
        "journal": stored.get("journal"),
    }


def damage(name: str, lost: list[str]) -> str:
    """Return a sentence about what was left out of a result."""
    return f"The stored decisions on {name} are damaged; ignored: {', '.join(dict.fromkeys(lost))}."


def store_decisions(result: Result) -> str:
    """Write the decisions on a result to its folder; return what went wrong, or nothing.

    A full disk must not keep the user from deciding: the session still has it all.
    """
    try:
        if result.folder is None or not result.folder.is_dir():
            folder = storage.new_run_folder(result.name)
            storage.write_text(folder / storage.RESULT / "result.json", json.dumps(dict(result.data.data)))
            result.folder = folder
        storage.write_journal(result.folder, decisions_to_json(result))
    except OSError as error:
        where = result.folder or storage.runs_folder()
        return f"Cannot write the decisions to {where} ({error.strerror}); save the session."
    return ""


def save_session(session: dict[str, Any], *, _self: Any) -> bool:
    """Put the results into a session that PyMOL is about to save."""
    state = state_of(_self)
    results = state.live(_self)
    if results or state.resolutions.known or state.checks:
        stored = [
            {
                "name": result.name,
                "data": dict(result.data.data),
                "folder": str(result.folder) if result.folder else None,
                **decisions_to_json(result),
            }
            for result in results.values()
        ]
        checks = {name: check.to_json() for name, check in state.checks.items()}
        resolutions = state.resolutions.to_json()
        session[KEY] = {"schema": SCHEMA, "results": stored, "resolutions": resolutions, "checks": checks}
    return True


def restore_session(session: dict[str, Any], *, _self: Any) -> bool:
    """Take the results out of a session that PyMOL has loaded."""
    state = state_of(_self)
    if KEY in session:
        define_colors(_self)
        _restore(state, session[KEY])
    state.live(_self)
    state.changed("results")
    return True


def _restore(state: State, stored: Any) -> None:
    nothing: tuple[Any, list[Any]] = (None, [])
    schema, results = checked.kept(lambda: (stored["schema"], list(stored["results"])), nothing, "", [])
    if not _knows(schema):
        complain("The proposals in the session are of another version of the plugin; only their atoms were restored.")
        return
    state.resolutions.update(stored.get("resolutions"))
    checks = stored.get("checks")
    for name, values in checks.items() if isinstance(checks, Mapping) else ():
        with contextlib.suppress(*checked.DAMAGE):
            state.checks[checked.object_name(name)] = Check.from_json(values)
    for number, values in enumerate(results, 1):
        try:
            result, lost = _restored({"schema": schema, **values})
        except checked.DAMAGE:
            complain(f"Result {number} of the session is damaged; only its atoms were restored.")
            continue
        if lost:
            complain(damage(result.name, lost))
        state.results[result.name] = result


def _restored(values: Mapping[str, Any]) -> tuple[Result, list[str]]:
    """Read a result of a session; raises an error of `checked.DAMAGE` if there is no sound one."""
    lost: list[str] = []
    name = checked.object_name(values["name"])
    result = decisions_from_json(name, Segmentation.from_json(values["data"]), values, lost)
    folder = values["folder"] if values["schema"] == SCHEMA else values["details"].get("folder")
    if isinstance(folder, str) and is_run(Path(folder)):
        result.folder = Path(folder)
    return result, lost


def install(cmd: Any) -> None:
    """Make PyMOL call the two tasks when it saves and loads sessions."""
    for tasks, task in (
        (cmd._pymol._session_save_tasks, save_session),
        (cmd._pymol._session_restore_tasks, restore_session),
    ):
        # A plugin loaded anew replaces its old tasks.
        tasks[:] = [t for t in tasks if getattr(t, "__module__", "") != __name__]
        tasks.append(task)
