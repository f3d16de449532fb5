"""Write the pages of the programming interface from the docstrings: ``python -m tools.api_pages``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pdoc
import pdoc.render

import edseg_engine
from tools.command import run_tool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser("python -m tools.api_pages", description="Document the public names of edseg.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pages")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Write the pages; a name or a docstring that cannot be documented is an error."""
    for name in edseg_engine.__all__:
        # pdoc sees only what has been imported.
        setattr(edseg_engine, name, getattr(edseg_engine, name))
    pdoc.render.configure(docformat="numpy", footer_text=f"edseg {edseg_engine.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc("edseg_engine", r"!edseg_engine\.", output_directory=args.out)


if __name__ == "__main__":
    sys.exit(main())
