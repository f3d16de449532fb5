"""A folder that trains anywhere: the engine's source, training data and a script, for a machine without network."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edseg_engine.dataset.experimental import ExperimentalEntry, read_index
from edseg_engine.errors import OutputError, TrainingDataError

_MEGABYTE = 1e6

_SCRIPT = """\
#!/bin/sh
# sh train.sh RANGE OUT [options of edseg train]
# Trains on the data beside this script. Killed and started again with the same OUT, it goes on from the checkpoint.
# Needs a Python with torch, numpy, scipy, scikit-learn, safetensors and rich; what is in wheels/ is installed for it.
set -e
here=$(cd "$(dirname "$0")" && pwd)
range=$1
out=$2
shift 2
site=${TMPDIR:-/tmp}/edseg-job-site
for wheel in "$here"/wheels/*.whl; do
    if [ -e "$wheel" ]; then
        python3 -m pip install -q --no-index --no-deps --upgrade --target "$site" "$wheel"
    fi
done
test ! -d "$here/experimental" || set -- --experimental "$here/experimental" "$@"
test ! -e "$here/start.safetensors" || set -- --start-from "$here/start.safetensors" "$@"
PYTHONPATH=$here:$site exec python3 -m edseg_engine train "$range" \\
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
    experimental_megabytes: float,
    start_from: Path | None = None,
) -> JobContents:
    """Write the folder `out`, whose ``train.sh`` runs ``edseg train`` with data of at most the given sizes.

    Packs are taken whole, in order, as long as they fit; experimental crystals in random order of a fixed seed.

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
        entries = _experimental(experimental, experimental_megabytes) if experimental is not None else []
        if entries:
            _copy_experimental(entries, out / "experimental")
        engine = Path(__file__).resolve().parents[1]
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


def _experimental(folder: Path, megabytes: float) -> list[ExperimentalEntry]:
    entries = read_index(folder, "train")
    order = np.random.default_rng(1).permutation(len(entries))
    sizes = [entries[i].data_path.stat().st_size + entries[i].model_path.stat().st_size for i in order]
    fits = np.cumsum(sizes) <= megabytes * _MEGABYTE
    return [entries[i] for i in order[fits]]


def _copy_experimental(entries: list[ExperimentalEntry], out: Path) -> None:
    out.mkdir()
    for entry in entries:
        (out / entry.name).mkdir()
        shutil.copy(entry.data_path, out / entry.name)
        shutil.copy(entry.model_path, out / entry.name)
    with open(out / "index.tsv", "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["id", "split", "resolution"])
        writer.writerows([entry.name, entry.split, entry.d_min] for entry in entries)
