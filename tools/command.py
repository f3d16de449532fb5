"""How a tool runs as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from edseg_engine.errors import EdsegError


def run_tool(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None], argv: Sequence[str] | None
) -> int:
    """Parse `argv` (None: the command line), run the tool, and return the exit code; errors are one line of text."""
    args = parser.parse_args(argv)
    try:
        run(args)
    except EdsegError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
