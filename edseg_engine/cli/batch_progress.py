"""How a batch shows its progress, and the table of a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars

from edseg_engine.batch.estimate import BatchEstimate
from edseg_engine.batch.records import Done, Outcome
from edseg_engine.batch.run import BatchCallback, BatchProgress, ignore_batch_progress
from edseg_engine.cli.progress import drawn, emit, title_of
from edseg_engine.io.names import shown


@contextmanager
def shown_progress(mode: str) -> Iterator[BatchCallback]:
    """Give a callback that shows a batch as ``--progress`` says: a line for each map and, on a terminal, bars."""
    if mode == "auto":
        with _bars() as show:
            yield show
    else:
        yield _emit if mode == "json" else ignore_batch_progress


@contextmanager
def _bars() -> Iterator[BatchCallback]:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description:<42}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[more]}"),
    )
    bars = Bars(*columns, console=console, disable=not console.is_terminal)
    whole, at_work = bars.add_task("", total=1, more=""), dict[str, TaskID]()

    def show(batch: BatchProgress) -> None:
        with suppress(OSError):  # the terminal may have been closed; the batch need not end for that
            finished = batch.done + batch.failed
            left = "" if batch.seconds_left is None else f"{duration(batch.seconds_left)} left"
            failed = f", {batch.failed} failed" if batch.failed else ""
            bars.update(
                whole, description=f"Map {min(finished + 1, batch.total)} of {batch.total}{failed}", total=batch.total,
                completed=finished, more=left,
            )  # fmt: skip
            if batch.stage is not None:
                if batch.name not in at_work:
                    at_work[batch.name] = bars.add_task("", total=1.0, more="")
                title = f"{title_of(batch.stage.stage)}: {batch.name}"
                bars.update(at_work[batch.name], description=title[:42], completed=batch.stage.fraction)
            if batch.outcome is not None:
                if batch.name in at_work:
                    bars.remove_task(at_work.pop(batch.name))
                console.print(outcome_line(batch.name, batch.outcome), markup=False)

    with drawn(bars):
        yield show


def _emit(batch: BatchProgress) -> None:
    whole = {"done": batch.done, "failed": batch.failed, "total": batch.total}
    if batch.seconds_left is not None:
        whole |= {"seconds_left": round(batch.seconds_left)}
    if batch.outcome is None:
        stage = batch.stage
        now = {"stage": stage.stage, "fraction": round(stage.fraction, 4)} if stage is not None else {}
        emit("progress", name=batch.name, **now, **whole)
    elif isinstance(batch.outcome.result, Done):
        seconds, said = round(batch.outcome.seconds, 3), batch.outcome.result.summary
        emit("map", name=batch.name, state="done", seconds=seconds, residues=said["residues"], **whole)
    else:
        failed = batch.outcome.result
        emit("map", name=batch.name, state="failed", kind=failed.kind, message=shown(failed.message), **whole)


def outcome_line(name: str, outcome: Outcome) -> str:
    """Return a line that says what came of a map."""
    if not isinstance(outcome.result, Done):
        return f"{name}: failed. {shown(outcome.result.message)}"
    said = outcome.result.summary
    facts = [f"{said['residues']} residues"]
    if said.get("r_free") is not None:
        facts.append(f"R-free {said['r_free']:.3f}")
    elif "r_free" not in said and said["confidence"] is not None:
        facts.append(f"mean confidence {said['confidence']:.2f}")
    return f"{name}: {', '.join(facts)}, {duration(outcome.seconds)}"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def estimate_table(batch: BatchEstimate) -> str:
    """Return the table of a dry run."""
    width = max([len("map"), *(len(estimate.name) for estimate in batch.maps)])
    lines = [f"{'map':<{width}}  {'Å':>5}  {'memory':>8}  {'time':>8}"]
    for each in batch.maps:
        if each.problem:
            lines.append(f"{each.name:<{width}}  {shown(each.problem)}")
            continue
        time = "?" if each.seconds is None else duration(each.seconds)
        lines.append(f"{each.name:<{width}}  {each.resolution:5.2f}  {each.memory / 1e9:5.1f} GB  {time:>8}")
    bad = sum(bool(each.problem) for each in batch.maps)
    known = [each.seconds for each in batch.maps if each.seconds is not None]
    lines = [*lines, ""] if batch.maps else []
    lines += [
        f"{'Maps to do':<17}{len(batch.maps)}{f', of which {bad} will fail' if bad else ''}",
        f"{'Finished before':<17}{batch.done} done, {batch.failed} failed",
    ]
    if bad < len(batch.maps):
        time = f"about {duration(sum(known))}" if known else "unknown before the first map is finished"
        memory = max(each.memory for each in batch.maps)
        lines += [f"{'Time':<17}{time}, one map at a time", f"{'Memory':<17}at most {memory / 1e9:.1f} GB for one map"]
    return "\n".join(lines)
