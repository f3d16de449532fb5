"""What the commands print: on any terminal, and to readers that may be gone."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any

from edseg_engine.errors import REPORTED, Cancelled, OutputError
from edseg_engine.io.names import shown

_IN_ASCII = {"Å": "A", "±": "+/-", "²": "^2", "³": "^3"}


class _Output(io.FileIO):
    """Standard output; what goes wrong with it ends the command with one sentence, unlike errors of other files."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _drop(self.fileno())
            raise Cancelled("Stopped, because the program that read the output has exited.") from None
        except OSError as error:
            _drop(self.fileno())
            raise OutputError(f"Standard output cannot be written: {error.strerror}.") from error


def prepare_streams() -> None:
    """Let standard output and standard error take every character, also where they are closed."""
    codecs.register_error("edseg", _in_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # or the next file that is opened would get its number
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for the whole run)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="edseg")
    out = sys.stdout
    is_windows_console = sys.platform == "win32" and out.isatty()  # which is no file
    if isinstance(out, io.TextIOWrapper) and out is sys.__stdout__ and not is_windows_console:
        buffer = io.BufferedWriter(_Output(out.fileno(), "wb", closefd=False))
        at_once = out.line_buffering or out.write_through
        sys.stdout = io.TextIOWrapper(buffer, out.encoding, "edseg", line_buffering=at_once)


def flush_output() -> None:
    """Make sure that all that was printed has arrived, unless its reader has gone, as ``head`` does.

    Raises
    ------
    OutputError
        If standard output cannot be written.
    """
    with suppress(Cancelled):
        sys.stdout.flush()


def say(text: str) -> None:
    """Print a line about results that are complete: where it cannot be printed, they are there all the same."""
    try:
        print(text)
        flush_output()
    except REPORTED as error:
        complain(f"The results are complete. {error}")


def complain(text: str) -> None:
    """Print a message on standard error, unless it is closed."""
    try:
        print(f"edseg: {text}", file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr.fileno())


def _drop(descriptor: int) -> None:
    """Let what is written from now on, at the interpreter's exit too, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that a terminal does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    text = "".join(_IN_ASCII.get(character, shown(character)) for character in characters)
    return text.encode("ascii", "backslashreplace").decode(), error.end
