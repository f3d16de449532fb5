"""Pack a folder that trains anywhere: the engine's source, training data and a script, for a machine without network.

``python -m tools.pack_job``
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

import edseg_engine
from edseg_engine.dataset.experimental import ExperimentalEntry, read_index
from edseg_engine.errors import OutputError, TrainingDataError
from edseg_engine.io.mtz import Column, write_mtz
from edseg_engine.resolution import RANGES
from tools.command import run_tool

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_MEGABYTE = 1e6
_FINEST = min(r.d_min for r in RANGES)

_SCRIPT = """\
#!/bin/sh
# sh train.sh RANGE OUT [options of edseg train network]
# Trains on the data beside this script. Killed and started again with the same OUT, it goes on from the checkpoint.
# Needs a Python with torch, numpy, scipy, safetensors and rich; gemmi is installed from here if missing.
set -e
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
here=$(cd "$(dirname "$0")" && pwd)
range=$1
out=$2
shift 2
site=${TMPDIR:-/tmp}/edseg-job-site
export PYTHONPATH=$here:$site
python3 -c "import gemmi" 2>/dev/null ||
    python3 -m pip install -q --no-index --no-deps --target "$site" "$here"/wheels/*
if [ -e "$here/experimental.tar.xz" ]; then
    data=$site/data-$(cksum < "$here/experimental.tar.xz" | cut -d " " -f 1)
    if [ ! -d "$data" ]; then
        rm -rf "$data.part"
        python3 -m tarfile -e "$here/experimental.tar.xz" "$data.part"
        mv "$data.part" "$data"
    fi
    set -- --experimental "$data/experimental" "$@"
fi
test ! -e "$here/start.safetensors" || set -- --start-from "$here/start.safetensors" "$@"
exec python3 -m edseg_engine train network "$range" \\
    --structures "$here/structures" --out "$out" --device auto "$@"
"""


@dataclass(frozen=True)
class JobContents:
    """What a job was packed with; sizes in bytes."""

    packs: int
    experimental: int
    size: int


def pack_job(
    out: Path,
    structures: Path,
    structure_megabytes: float,
    experimental: Path | None,
    start_from: Path | None = None,
) -> JobContents:
    """Write the folder `out`, whose ``train.sh`` runs ``edseg train network`` with data of at most the given sizes.

    Packs are taken whole, in order, as long as they fit. Of experimental crystals only what training looks at is
    taken: the map coefficients to the finest resolution of all ranges, rounded a little, and the model.

    Raises
    ------
    OutputError
        If `out` exists and is not empty, or cannot be written.
    TrainingDataError
        If not even one training pack fits.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"The folder {out} is not empty; choose another one.")
    packs = _fitting(sorted(structures.glob("train*.npz")), structure_megabytes)
    if not packs:
        raise TrainingDataError(f"No pack train*.npz of {structures} fits into {structure_megabytes:g} MB.")
    try:
        (out / "structures").mkdir(parents=True)
        for path in [*packs, *structures.glob("val*.npz")]:
            shutil.copy(path, out / "structures")
        entries = read_index(experimental, "train") if experimental is not None else []
        if entries:
            _pack_experimental(entries, out / "experimental.tar.xz")
        engine = Path(edseg_engine.__file__).resolve().parent
        shutil.copytree(engine, out / engine.name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
        if start_from is not None:
            shutil.copy(start_from, out / "start.safetensors")
        (out / "wheels").mkdir()
        (out / "train.sh").write_text(_SCRIPT)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be written ({error}).") from error
    return JobContents(len(packs), len(entries), sum(p.stat().st_size for p in out.rglob("*") if p.is_file()))


def _fitting(paths: list[Path], megabytes: float) -> list[Path]:
    chosen, room = [], megabytes * _MEGABYTE
    for path in paths:
        size = path.stat().st_size
        if size <= room:
            chosen.append(path)
            room -= size
    return chosen


def _pack_experimental(entries: list[ExperimentalEntry], out: Path) -> None:
    # Columns of plain numbers under one xz stream take half the room of the crystals' own gzip files.
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(out, "w:xz") as archive:
        folder = Path(temporary) / "experimental"
        folder.mkdir()
        for entry in entries:
            (folder / entry.name).mkdir()
            _write_coefficients(entry, folder / entry.name / "data.mtz")
            gemmi.cif.read(str(entry.model_path)).write_file(str(folder / entry.name / "model.cif"))
        with open(folder / "index.tsv", "w", newline="") as file:
            writer = csv.writer(file, delimiter="\t")
            writer.writerow(["id", "split", "resolution"])
            writer.writerows([entry.name, entry.split, max(entry.d_min, _FINEST)] for entry in entries)
        archive.add(folder, folder.name)


def _write_coefficients(entry: ExperimentalEntry, out: Path) -> None:
    """Write an MTZ file of FWT and PHWT to `_FINEST` Å: amplitudes to 3 %, phases to 2 degrees."""
    data = gemmi.read_mtz_file(str(entry.data_path)).get_f_phi("FWT", "PHWT")
    kept = np.isfinite(data.value_array) & (data.make_1_d2_array() <= 1 / _FINEST**2)
    f = data.value_array[kept]
    mantissa, exponent = np.frexp(np.abs(f))
    amplitude = np.ldexp(np.round(mantissa * 32) / 32, exponent)
    phase = np.round(np.degrees(np.angle(f)) / 4) * 4
    columns: dict[str, Column] = {"FWT": ("F", amplitude), "PHWT": ("P", phase)}
    write_mtz(out, data.unit_cell, data.spacegroup, data.miller_array[kept], columns)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.pack_job",
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
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Pack the job and fetch the wheel."""
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


if __name__ == "__main__":
    sys.exit(main())
