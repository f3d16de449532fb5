"""The command ``edseg``: one module of this package per subcommand."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edseg_engine import __version__
from edseg_engine.cli import build, convert, evaluate, segment, simulate, train
from edseg_engine.errors import Cancelled, EdsegError

#: Each has ``add_parser(subparsers)``, which sets ``run``, a function from the arguments to the exit code.
#: They import the engine only in ``run``, so that ``--help`` is quick.
COMMANDS = (segment, build, convert, simulate, train, evaluate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="edseg", description="Locate and label the residues of an electron density map."
    )
    parser.add_argument("--version", action="version", version=f"edseg {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        with _termination_as_interrupt():
            exit_code: int = args.run(args)
            return exit_code
    except EdsegError as error:
        print(f"edseg: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edseg: Stopped.", file=sys.stderr)
        return Cancelled.exit_code


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: unwind, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
