"""What the commands print: on any terminal, and to readers that may be gone."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from edseg_engine.errors import OutputError
from edseg_engine.io.names import shown

_IN_ASCII = {"Å": "A", "±": "+/-", "²": "^2", "³": "^3"}


def prepare_streams() -> None:
    """Let standard output and standard error take every character, also where they are closed."""
    codecs.register_error("edseg", _in_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # or the next file that is opened would be standard output
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for the whole run)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="edseg")


def say(text: str) -> None:
    """Print a line about results that are complete: where it cannot be printed, they are there all the same."""
    try:
        print(text, flush=True)
    except OSError as error:
        drop_output()
        if not isinstance(error, BrokenPipeError):
            complain(f"The results are complete, but standard output cannot be written: {error.strerror}.")


def complain(text: str) -> None:
    """Print a message on standard error, if there is anybody to read it."""
    with suppress(OSError):
        print(f"edseg: {text}", file=sys.stderr, flush=True)


@contextmanager
def guarded_output() -> Iterator[None]:
    """Make sure that all that is printed in the context arrives.

    A reader that goes, as ``head`` does, ends the context quietly: it has read what it wanted.

    Raises
    ------
    OutputError
        If standard output cannot be written.
    """
    try:
        yield
    except OSError:
        if _flush():
            raise
    except BaseException:
        with suppress(OutputError):
            _flush()
        raise
    _flush()


def _flush() -> bool:
    """Return whether all that was printed has arrived; False if the reader is gone."""
    try:
        sys.stdout.flush()
    except OSError as error:
        drop_output()
        if isinstance(error, BrokenPipeError):
            return False
        raise OutputError(f"Standard output cannot be written: {error.strerror}.") from error
    return True


def drop_output() -> None:
    """Let what is printed from now on, and what the interpreter flushes at its exit, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that a terminal does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    text = "".join(_IN_ASCII.get(character, shown(character)) for character in characters)
    return text.encode("ascii", "backslashreplace").decode(), error.end
