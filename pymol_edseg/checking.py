"""What the engine says about a model: which residue types and which register do not go with the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymol_edseg import checked
from pymol_edseg.console import say
from pymol_edseg.engine_process import Run, Task
from pymol_edseg.objects import color_residues, scale_color, select_residues
from pymol_edseg.palette import LABELS
from pymol_edseg.state import Check, Doubt, state_of
from pymol_edseg.storage import remove_run

SCHEMA = "edseg-check/1"
SHIFTED = "edseg_shifted"
_GREY = "#B3B3B3"
#: So many places are listed in the log.
_TOLD = 20
#: Colours of a type that is improbable, as probable as not, and certain.
_SCALE = ((0.0, "#FF0000"), (0.5, "#FFFFFF"), (1.0, "#0000FF"))


@dataclass(frozen=True)
class Report:
    """What ``check.json`` says of a model.

    Attributes
    ----------
    probabilities
        Of the own type of each residue, by chain and number; None where there is no density for it.
    shifted
        The residues of stretches that fit better a few residues off.
    """

    doubts: tuple[Doubt, ...]
    probabilities: Mapping[tuple[str, str], float | None]
    shifted: frozenset[tuple[str, str]]
    n_shifts: int
    warnings: tuple[str, ...]


def read_report(folder: Path) -> Report:
    """Read ``check.json``; raises ValueError if it cannot be read."""
    try:
        data = checked.document(folder / "check.json", SCHEMA)
        residues = [_residue(values) for values in data["residues"]]
        order = [key for key, *_ in residues]
        doubts = [_shift(values, order) for values in data["shifts"]]
        doubts += [
            (i, Doubt((key,), f"{key[0]} {said}".strip()))
            for i, (key, _, said, shift) in enumerate(residues)
            if said and not shift
        ]
        return Report(
            tuple(doubt for _, doubt in sorted(doubts, key=lambda pair: pair[0])),
            {key: own for key, own, *_ in residues},
            frozenset(key for key, _, _, shift in residues if shift),
            len(data["shifts"]),
            tuple(map(checked.text, data["warnings"])),
        )
    except (OSError, *checked.DAMAGE) as error:
        raise ValueError(f"The check in {folder} cannot be read: {error}.") from error


def _shift(values: Mapping[str, Any], order: Sequence[tuple[str, str]]) -> tuple[int, Doubt]:
    """Return a stretch that fits better a few residues off, and where in the order of residues it begins."""
    chain, first, last = (_text(values[key]) for key in ("chain", "first", "last"))
    start, end = order.index((chain, first)), order.index((chain, last))
    by, evidence = checked.whole(values["by"], -100, 100), checked.number(values["evidence"])
    built, fitting = checked.text(values["built"]), checked.text(values["fitting"])
    said = f"{chain} {first} to {last}: built {built}, fits {fitting} ({by:+d}, evidence {evidence:.0f})"
    return start, Doubt(tuple(order[start : end + 1]), said)


def _residue(values: Mapping[str, Any]) -> tuple[tuple[str, str], float | None, str, int]:
    """Return chain and number, the probability of the own type, what is doubtful about it, and the shift."""
    key = _text(values["chain"]), _text(values["number"])
    own = checked.optional(lambda p: checked.number(p, 0, 1), values["probability"])
    said = ""
    if values["doubtful"] is True and own is not None:
        likeliest = values["likeliest"]
        if likeliest not in LABELS:
            raise ValueError(f"{likeliest!r} is not a residue class")
        most = checked.number(values["probabilities"][likeliest], 0, 1)
        name = checked.text(values["type"])
        said = f"{name} {key[1]}: looks like {likeliest} ({100 * most:.0f} %; {name} {100 * own:.0f} %)"
    return key, own, said, checked.whole(values["shift"], -100, 100)


def _text(value: Any) -> str:
    return checked.text(str(value) if isinstance(value, int) else value)


def finish_check(cmd: Any, run: Run) -> str:
    """Colour the model that was checked, and remember what disagrees; raises ValueError."""
    report = read_report(run.results)
    remove_run(run.folder)
    if run.name not in cmd.get_names("objects"):
        raise ValueError(f"The model {run.name} is gone; there is nothing to colour.")
    colors = {key: _GREY if p is None else scale_color(p, _SCALE) for key, p in report.probabilities.items()}
    color_residues(cmd, f"%{run.name}", colors, _GREY)
    cmd.delete(SHIFTED)
    if report.shifted:
        select_residues(cmd, SHIFTED, run.name, report.shifted)
    state_of(cmd).checks[run.name] = Check(report.doubts)
    run.warnings = report.warnings
    for number, doubt in enumerate(report.doubts[:_TOLD], 1):
        say(f"{number}. {doubt.text}", run.flags.quiet)
    if len(report.doubts) > _TOLD:
        say(f"... and {len(report.doubts) - _TOLD} more; edseg_next_doubt goes through all.", run.flags.quiet)
    own = [p for p in report.probabilities.values() if p is not None]
    mean = f", mean probability of their types {sum(own) / len(own):.2f}" if own else ""
    types = len(report.doubts) - report.n_shifts
    return (
        f"{len(report.probabilities)} residues, {len(own)} of them in density{mean}; {types} doubtful types, "
        f"{report.n_shifts} register shifts."
    )


CHECK = Task(
    "check",
    "Checking a model against",
    {
        "read": ("Reading the map", 0.05),
        "prepare": ("Preparing the density", 0.05),
        "network": ("Running the network", 0.75),
        "classify": ("Comparing with the model", 0.05),
        "write": ("Writing the check", 0.05),
    },
    finish_check,
)
