"""Damaged files for every reader, for as long as wanted: ``python -m tools.fuzz``.

A child process damages files and reads them. Anything but a result or an `EdsegError` of one line is a failure: another
exception, a crash, a hang, or much memory. The file that did it is kept.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import gemmi
import numpy as np
import torch

from edseg_engine.batch.manifest import read_manifest
from edseg_engine.batch.settings import MapSettings
from edseg_engine.errors import EdsegError
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.io.sequence import read_database, read_sequences
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.networks.weights import load_weights, save_weights
from edseg_engine.resolution import range_by_name
from tools.command import run_tool

#: A reader must answer within so many seconds, and take no more memory (MB) than this beyond what it has.
_SECONDS, _MEMORY = 30.0, 1500.0
_WORDS = [0, 1, 2, 3, 255, 2**31 - 1, 2**31, 2**32 - 1, 0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 1000, 10**6]
_TOKENS = [
    b"nan", b"-inf", b"1e999", b"-1", b"0", b"9" * 40, b"\0", b"\n", b'"', b"'", b";", b"loop_\n", b"data_x\n", b"?",
    b"{", b"}", b"[" * 50, b",", b"\xff\xfe", b"../../x", b">", b"CRYST1", b"ENDMDL\n",
]  # fmt: skip


def _maps(path: Path) -> None:
    read_map(path)


def _reflections(path: Path) -> None:
    read_map(path)
    read_amplitudes(path)


def _databases(path: Path) -> None:
    for _ in read_database(path, 100):
        pass


#: What reads a file, by name, and the suffixes of the files that it is tried with.
READERS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "map": (_maps, (".ccp4", ".ccp4.gz")),
    "mtz": (_reflections, (".mtz", ".mtz.gz")),
    "cif": (_reflections, ("-sf.cif",)),
    "model": (read_model, (".pdb", ".cif")),
    "fasta": (read_sequences, (".fasta",)),
    "database": (_databases, (".fasta", ".fasta.gz")),
    "manifest": (lambda path: read_manifest(path, MapSettings()), (".csv", ".jsonl")),
    "weights": (load_weights, (".safetensors",)),
}


def write_examples(crystal: Path, folder: Path) -> None:
    """Write a sound small file of each kind; `crystal` has ``data.mtz.gz``, ``model.cif.gz`` and ``sequence.fasta``."""
    mtz = gemmi.read_mtz_file(str(crystal / "data.mtz.gz"))
    mtz.set_data(mtz.array[mtz.make_d_array() > 6.0])
    mtz.write_to_file(str(folder / "x.mtz"))
    (folder / "x-sf.cif").write_text(gemmi.MtzToCif().write_cif_to_string(mtz))
    ccp4 = gemmi.Ccp4Map()
    ccp4.grid = mtz.transform_f_phi_to_map("FWT", "PHWT", sample_rate=2.0)
    ccp4.update_ccp4_header()
    ccp4.write_ccp4_map(str(folder / "x.ccp4"))
    structure = gemmi.read_structure(str(crystal / "model.cif.gz"))
    del structure[0][0][15:]
    structure.write_pdb(str(folder / "x.pdb"))
    structure.make_mmcif_document().write_file(str(folder / "x.cif"))
    (folder / "x.fasta").write_bytes((crystal / "sequence.fasta").read_bytes() * 3)
    (folder / "x.csv").write_text("path,resolution,residues,name\nx.mtz,2.5,95,one\nx.ccp4,3,,two\n")
    (folder / "x.jsonl").write_text('{"path": "x.mtz", "resolution": 2.5}\n{"path": "x.ccp4", "name": "two"}\n')
    config = StackNetConfig(widths=(2, 4), blocks=(1, 1), concatenation_blocks=(0, 1))
    card = WeightsCard(range_by_name("high"), config)
    save_weights(StackNet(config).state_dict(), card, folder / "x.safetensors")
    for suffix in (".mtz", ".ccp4", ".fasta"):
        (folder / f"x{suffix}.gz").write_bytes(gzip.compress((folder / f"x{suffix}").read_bytes()))


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return `content` with one to six edits: bytes and words replaced, blocks cut out or doubled, text put in."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 7)):
        if not data:
            break
        # Most of what can go wrong stands in the header.
        at = int(rng.integers(min(len(data), 1500) if rng.random() < 0.6 else len(data)))
        length = int(rng.integers(1, 1 + min(64 if rng.random() < 0.8 else 5000, len(data))))
        match int(rng.integers(7)):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at : at + length] = rng.bytes(length)
            case 2:
                at -= at % 4
                data[at : at + 4] = int(rng.choice(_WORDS)).to_bytes(4, "little")
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                data[at : at + int(rng.integers(10))] = _TOKENS[int(rng.integers(len(_TOKENS)))]
            case 6:
                if rng.random() < 0.3:
                    del data[at:]
    return bytes(data)


def _read_forever(name: str, folder: Path, seed: int, reports: Connection) -> None:
    """Damage and read files; report the number read after each, or what went wrong."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")  # users would see them
    read, suffixes = READERS[name]
    examples = [(folder / f"x{suffix}").read_bytes() for suffix in suffixes]
    rng = np.random.default_rng(seed)
    count = 0
    while True:
        number = int(rng.integers(len(suffixes)))
        path = folder / f"{name}-{seed}{suffixes[number]}"
        content = examples[number]
        if suffixes[number].endswith(".gz") and rng.random() < 0.7:  # the content, soundly compressed
            content = gzip.compress(damaged(gzip.decompress(content), rng), 1)
        else:
            content = damaged(content, rng)
        path.write_bytes(content)
        reports.send(("begins", str(path)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read(path)
        except EdsegError as error:
            if "\n" in str(error):
                reports.send(("failed", f"the message has several lines: {error}"))
        except BaseException:  # noqa: BLE001 (each of them is what is looked for)
            reports.send(("failed", traceback.format_exc(limit=-3)))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if grown > _MEMORY:
            reports.send(("failed", f"it took {grown:.0f} MB"))
        count += 1
        reports.send(("read", count))


def fuzz(name: str, folder: Path, kept: Path, minutes: float, seed: int) -> tuple[int, int]:
    """Try a reader for some minutes; returns how many files were read and how many of them failed."""
    deadline = time.monotonic() + 60 * minutes
    total = failures = 0
    context = multiprocessing.get_context("spawn")
    while time.monotonic() < deadline:
        reports, end = context.Pipe(duplex=False)
        process = context.Process(target=_read_forever, args=(name, folder, seed, end), daemon=True)
        process.start()
        end.close()
        path, read_here, wrong = Path(), 0, ""
        while time.monotonic() < deadline and not wrong:
            try:
                if not reports.poll(_SECONDS + (60.0 if not read_here else 0.0)):  # it has to import first
                    wrong = f"no answer within {_SECONDS:.0f} s"
                    break
                kind, value = reports.recv()
            except EOFError:
                process.join()
                wrong = f"the process ended with exit code {process.exitcode}"
                break
            if kind == "begins":
                path = Path(value)
            elif kind == "read":
                read_here = value
            else:
                wrong = value
        if wrong and not path.name:
            raise RuntimeError(f"The reader {name} could not be tried: {wrong}.")
        if wrong:
            failures += 1
            case = kept / f"{failures}-{path.name}"
            case.write_bytes(path.read_bytes())
            print(f"{case}: {wrong}", file=sys.stderr, flush=True)
        process.kill()
        process.join()
        total += read_here
        seed += 1
    return total, failures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code: 1 if a reader failed."""
    parser = argparse.ArgumentParser("python -m tools.fuzz", description="Give damaged files to the readers.")
    parser.add_argument("crystal", type=Path, metavar="FOLDER", help="with data.mtz.gz, model.cif.gz, sequence.fasta")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files that a reader failed on")
    failed = 0

    def run(args: argparse.Namespace) -> None:
        nonlocal failed
        args.out.mkdir(parents=True, exist_ok=True)
        print("| reader | files | failures |\n|---|---:|---:|", flush=True)
        for name in args.readers:
            with tempfile.TemporaryDirectory() as folder:
                write_examples(args.crystal, Path(folder))
                total, failures = fuzz(name, Path(folder), args.out, args.minutes, args.seed)
            failed += failures
            print(f"| {name} | {total:,} | {failures} |", flush=True)

    return run_tool(parser, run, argv) or int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
