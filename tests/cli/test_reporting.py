"""What commands report about their work: to people, to programs, and when they are stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from edseg_engine.cli.reporting import report
from edseg_engine.errors import Cancelled, OutputError
from edseg_engine.progress import Progress, ProgressCallback


def interrupted(progress: ProgressCallback) -> NoReturn:
    progress(Progress("read", 0.0))
    raise KeyboardInterrupt


def refused(progress: ProgressCallback) -> NoReturn:
    raise OutputError("It cannot be written.")


@pytest.mark.parametrize(("work", "kind"), [(interrupted, Cancelled), (refused, OutputError)])
def test_programs_learn_how_a_run_ended(
    work: object, kind: type[Cancelled | OutputError], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(kind):
        report("json", Path("out"), work, lambda _: {}, lambda _: "")  # type: ignore[arg-type]
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["kind"], last["exit_code"]) == ("error", kind.__name__, kind.exit_code)


def test_the_result_is_the_last_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert report("json", tmp_path, lambda _: 7, lambda n: {"residues": n}, str) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"event": "result", "directory": str(tmp_path), "residues": 7}
    assert report("none", tmp_path, lambda _: 7, lambda n: {"residues": n}, "{} residues".format) == 0
    assert capsys.readouterr().out == "7 residues\n"
