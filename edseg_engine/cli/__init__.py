"""The command ``edseg``: one module of this package per subcommand."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from edseg_engine import __version__
from edseg_engine.cli import (
    batch,
    build,
    check,
    compare,
    convert,
    evaluate,
    fetch,
    identify,
    report,
    segment,
    simulate,
    train,
)
from edseg_engine.cli.console import complain, flush_output, prepare_streams
from edseg_engine.errors import REPORTED, Cancelled

#: Each has ``add_parser(subparsers)``, which sets ``run``, a function from the arguments to the exit code.
#: They import the engine only in ``run``, so that ``--help`` is quick.
COMMANDS = (segment, build, compare, batch, report, check, identify, convert, fetch, simulate, train, evaluate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="edseg", description="Locate and label the residues of an electron density map."
    )
    parser.add_argument("--version", action="version", version=f"edseg {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    prepare_streams()
    try:
        with _termination_as_interrupt():
            try:
                args = parser.parse_args(argv)
                exit_code: int = args.run(args)
            finally:
                flush_output()
            return exit_code
    except REPORTED as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("Stopped.")
        return Cancelled.exit_code


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does: unwind, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    numbers = [signal.SIGTERM] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGHUP]
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}  # nohup ignores SIGHUP

    stopping = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:  # batch systems send more than one; the second must not interrupt the removal
            stopping = True
            raise KeyboardInterrupt

    for n in before:
        signal.signal(n, interrupt)
    try:
        yield
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
