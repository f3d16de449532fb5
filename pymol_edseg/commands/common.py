"""What the commands share: finding results and proposals by what the user typed, and saying what went wrong."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymol import CmdException

from pymol_edseg.console import complain
from pymol_edseg.focus import label_focus
from pymol_edseg.objects import free_name, taken_names, update_sites
from pymol_edseg.palette import identity_of
from pymol_edseg.session import store_decisions
from pymol_edseg.state import Result, state_of


@contextlib.contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions with a sentence for the user into PyMOL's own."""
    try:
        yield
    except kinds as error:
        raise CmdException(str(error)) from error


def find_result(cmd: Any, name: str = "") -> Result:
    """Return the result called `name`, or the last one."""
    results = state_of(cmd).live(cmd)
    if not results:
        raise CmdException("There is no result yet; run edseg_segment, or restore one with edseg_load.")
    if not name:
        return list(results.values())[-1]
    if name not in results:
        raise CmdException(f"There is no result {name!r}; the results are {', '.join(results)}.")
    return results[name]


def result_names(cmd: Any) -> list[str]:
    return list(state_of(cmd).live(cmd))


def parse_ids(cmd: Any, result: Result, text: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return proposal ids from ``"3+7-12"``, ``"all"``, an atom selection, a number or a list of numbers."""
    known = {p.id for p in result.proposals}
    if isinstance(text, int):
        text = str(text)
    if not isinstance(text, str):
        text = "+".join(str(int(number)) for number in text)
    text = text.strip()
    if text.lower() == "all":
        return tuple(sorted(known))
    if text.lower() == "gaps":
        if not result.completion or not result.completion.slots:
            raise CmdException(f"{result.name} fills no gap; name the model that lacks something by edseg_complete.")
        return tuple(result.completion.slots)
    if re.fullmatch(r"[\d+\-\s,]+", text):
        ids = _numbers(text)
        if missing := sorted(ids - known):
            raise CmdException(f"{result.name} has no proposal {missing[0]}; its ids are 1 to {max(known, default=0)}.")
    else:
        found: set[tuple[str, str]] = set()
        cmd.iterate(f"({text}) and %{result.sites}", "found.add((chain, resi))", space={"found": found})
        ids = {p.id for p in result.proposals if p.address in found}
    if not ids:
        raise CmdException(f"{text!r} matches no proposal of {result.name}.")
    return tuple(sorted(ids))


def _numbers(text: str) -> set[int]:
    ids: set[int] = set()
    for word in re.split(r"[+,\s]+", text):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if word and not match:
            raise CmdException(f"{text!r} is not a list of ids; write them as in 3+7-12.")
        if match:
            first, last = int(match.group(1)), int(match.group(2) or match.group(1))
            if last < first or last - first > 1_000_000:
                raise CmdException(f"{word!r} is not a range of ids; write the lower number first.")
            ids.update(range(first, last + 1))
    return ids


def parse_identity(text: str) -> str:
    """Return the class or residue that the user named."""
    with user_errors(ValueError):
        return identity_of(text)


def parse_whole(value: str | float, what: str) -> int:
    """Return a whole number that the user gave."""
    number = parse_number(value, what)
    if not number.is_integer():
        raise CmdException(f"{what} must be a whole number, not {value!r}.")
    return int(number)


def parse_number(value: str | float, what: str) -> float:
    """Return a number that the user gave."""
    try:
        return float(value)
    except ValueError:
        raise CmdException(f"{what} must be a number, not {value!r}.") from None


def refresh(cmd: Any, result: Result, topic: str = "decisions") -> None:
    """Show and store what has changed in a result."""
    update_sites(cmd, result)
    label_focus(cmd, result)
    store(cmd, result, topic)


def store(cmd: Any, result: Result, topic: str = "decisions") -> None:
    """Store what has changed in a result, and inform the panel."""
    if problem := store_decisions(result):
        complain(problem)
    state_of(cmd).changed(topic)


def no_more(arguments: Mapping[str, Any], command: str) -> None:
    """Refuse arguments that a command does not have."""
    if arguments:
        raise CmdException(f"{command} has no argument {next(iter(arguments))!r}.")


def new_name(cmd: Any, name: str, stem: str = "", parts: Sequence[str] = ("",)) -> str:
    """Return a name for new objects: the user's, or the first free one of stem_1, stem_2, ...

    Parameters
    ----------
    parts
        What follows the name in those of the objects.
    """
    if not name:
        return free_name(cmd, stem, parts)
    if name != cmd.get_legal_name(name):
        raise CmdException(f"{name!r} cannot be the name of an object; use letters, digits and underscores.")
    if taken := [name + part for part in parts if (name + part).lower() in taken_names(cmd)]:
        raise CmdException(f"An object {taken[0]!r} already exists; delete it or choose another name.")
    return name


def preference(name: str) -> str | None:
    """Return a preference of PyMOL's plugins."""
    from pymol import plugins

    value = plugins.pref_get(name)
    return str(value) if value else None
