"""``edseg pack-job``: pack a training job for a machine without network."""

from __future__ import annotations

import argparse
from pathlib import Path

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to `subparsers`."""
    parser = subparsers.add_parser(
        "pack-job",
        help="pack a training job for another machine",
        description="Write a folder with the engine, training data, gemmi's wheel for another Python and a script "
        "train.sh that trains there, on its GPU if it has one. No network is needed on that machine.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--structures", type=Path, required=True, help="folder of packs train*.npz")
    parser.add_argument("--megabytes", type=float, default=30, help="of packs, at most (default: %(default)s)")
    parser.add_argument("--experimental", type=Path, help="folder of experimental crystals")
    parser.add_argument("--start-from", type=Path, help="weights file to start from")
    parser.add_argument(
        "--python", default="3.12", help="version of Python there, on Linux x86-64 (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import importlib.metadata
    import subprocess
    import sys

    from edseg_engine.errors import OutputError
    from tools.job import pack_job

    contents = pack_job(args.out, args.structures, args.megabytes, args.experimental, args.start_from)
    gemmi = f"gemmi=={importlib.metadata.version('gemmi')}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", gemmi]
    command += ["--python-version", args.python, "--implementation", "cp", "-d", str(args.out / "wheels")]
    command += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    if subprocess.run(command, check=False).returncode:
        raise OutputError(
            f"pip could not download {gemmi} for Python {args.python}; put its wheel into {args.out}/wheels."
        )
    print(f"{args.out}: {contents.packs} packs, {contents.experimental} experimental crystals; ", end="")
    print(f"{contents.size / 1e6:.1f} MB without the wheel.")
    print(f"There, run: sh {args.out.name}/train.sh RANGE OUT --windows N")
    return 0
