"""The data of the thesis from where it had them (section 4.1): models of the PDB, and crystals of PDB-REDO.

What was fetched is not fetched again: its checksums lie beside it, in ``SHA256SUMS``.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gemmi

from edseg_engine.batch.digests import sha256_of
from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry, read_index
from edseg_engine.errors import (
    DownloadError,
    EdsegError,
    ModelFormatError,
    OptionError,
    OutputError,
    TrainingDataError,
)
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.download import download
from edseg_engine.io.names import shown
from edseg_engine.io.output import make_directory, output_file
from edseg_engine.labels import type_of_residue
from edseg_engine.networks.weights import CHECKSUMS, read_checksums

#: Where the servers have their entries.
RCSB, PDB_REDO = "https://files.rcsb.org/download", "https://pdb-redo.eu/db"
#: The names of entries: old and new ones.
_NAME = re.compile(r"[0-9][a-z0-9]{3}|pdb_[0-9a-z]{8}")
#: The ranges of resolution (Å) of which the thesis has as many crystals each to test on.
_RANGES = ((0.0, 2.5), (2.5, 3.5), (3.5, 99.0))
_COLUMNS = ("id", "split", "resolution", "r_free", "sequences")

Report = Callable[[str], None]


@dataclass(frozen=True)
class CrystalCriteria:
    """Which crystals are taken; the thesis's are the defaults.

    Attributes
    ----------
    below_r_free
        R-free that a model must be below.
    finest, coarsest
        Resolution in Å.
    test_per_range
        Crystals better than 2.5 Å, at 2.5-3.5 Å and worse than that each in the split ``dev``; the others are in
        ``train``.
    """

    below_r_free: float = 0.35
    finest: float = 2.0
    coarsest: float = 4.0
    test_per_range: int = 50

    def __post_init__(self) -> None:
        if self.finest > self.coarsest or self.test_per_range < 0:
            raise OptionError(
                f"{self.finest:g} to {self.coarsest:g} Å and {self.test_per_range} to test on are not possible: "
                "give the finer resolution first, and no negative number."
            )

    def unmet(self, entry: ExperimentalEntry) -> str | None:
        """Return why an entry is left out, or None if it is taken."""
        if entry.r_free is None:
            return "its model does not say its R-free"
        if entry.r_free >= self.below_r_free:
            return f"its R-free of {entry.r_free:.3f} is not below {self.below_r_free:g}"
        if not self.finest <= entry.d_min <= self.coarsest:
            return f"its {entry.d_min:.2f} Å are outside {self.finest:g} to {self.coarsest:g} Å"
        return None


class _Folder:
    """A folder of fetched files with their checksums."""

    def __init__(self, path: Path, server: str, expected: Mapping[str, str]) -> None:
        self.path, self.server, self.expected = path, server.rstrip("/"), expected
        make_directory(path)
        self._recorded = read_checksums(path)

    def fetch(self, address: str, name: str) -> Path:
        """Return the path of a file of the server, fetched unless it is there as its checksum says."""
        path = self.path / name
        wanted = self.expected.get(name)
        known = wanted or self._recorded.get(name)
        if known is None or sha256_of(path) != known:
            make_directory(path.parent)
            self._recorded[name] = download(f"{self.server}/{address}", path, sha256=wanted)
            self._record()
        return path

    @contextmanager
    def used(self, *names: str) -> Iterator[None]:
        """Remove files that turn out to be of another kind: a server may answer with a page instead of the file."""
        try:
            yield
        except (ModelFormatError, TrainingDataError):
            for name in names:
                (self.path / name).unlink(missing_ok=True)
                self._recorded.pop(name, None)
            self._record()
            raise

    def _record(self) -> None:
        with output_file(self.path / CHECKSUMS) as file:
            lines = (f"{digest}  {each}\n" for each, digest in sorted(self._recorded.items()))
            file.write_text("".join(lines), encoding="utf-8")


def checked_names(names: Iterable[str]) -> list[str]:
    """Return the names of entries in small letters, each once.

    Raises
    ------
    OptionError
        If one cannot be the name of an entry.
    """
    found = dict.fromkeys(name.strip().lower() for name in names if name.strip())
    if wrong := [name for name in found if not _NAME.fullmatch(name)]:
        raise OptionError(f"{', '.join(map(repr, wrong))} cannot be an entry of the PDB; their names are like 1az5.")
    if not found:
        raise OptionError("Name at least one entry.")
    return list(found)


def fetch_models(
    names: Sequence[str], folder: Path, report: Report, expected: Mapping[str, str], server: str = RCSB
) -> None:
    """Fetch the deposited models of entries into a folder, as ``NAME.cif.gz``.

    Parameters
    ----------
    names
        See `checked_names`.
    report
        Is called with a sentence on each entry.
    expected
        SHA-256 that files must have, by their name in the folder; others may have any.
    server
        Address of the files.

    Raises
    ------
    DownloadError
        If some could not be fetched; the others are there.
    """
    files = _Folder(folder, server, expected)

    def fetch(name: str) -> str:
        path = files.fetch(f"{name}.cif.gz", f"{name}.cif.gz")
        with files.used(path.name):
            structure = read_model(path)
        return f"{structure[0].count_atom_sites()} atoms"

    _each(names, fetch, report)


def fetch_crystals(
    names: Sequence[str],
    folder: Path,
    report: Report,
    expected: Mapping[str, str],
    criteria: CrystalCriteria = CrystalCriteria(),
    server: str = PDB_REDO,
) -> None:
    """Fetch map coefficients and models of PDB-REDO into a folder of experimental crystals, and write its index.

    What the index listed before stays in it if it meets the criteria.

    Parameters
    ----------
    names, report, expected, server
        See `fetch_models`.
    criteria
        Which of them go into the index.

    Raises
    ------
    DownloadError
        If some could not be fetched; the others are there and in the index.
    OutputError
        If the folder cannot be written, or has an index of another origin.
    TrainingDataError
        If none meets the criteria.
    """
    files = _Folder(folder, server, expected)
    entries = {entry.name: entry for entry in _older(folder / "index.tsv") if not criteria.unmet(entry)}

    def fetch(name: str) -> str:
        entries.pop(name, None)
        pair = f"{name}/data.mtz", f"{name}/model.cif"
        for end, file in zip(("mtz", "cif"), pair, strict=True):
            files.fetch(f"{name}/{name}_final.{end}", file)
        with files.used(*pair):
            entry = _entry(name, folder / name)
        if reason := criteria.unmet(entry):
            return f"left out, {reason}"
        entries[name] = entry
        return f"{entry.d_min:.2f} Å, R-free {entry.r_free:.3f}"

    try:
        _each(names, fetch, report)
    finally:
        if entries:
            _write_index(sorted(entries.values(), key=lambda e: e.name), criteria.test_per_range, folder / "index.tsv")
    if not entries:
        raise TrainingDataError("None of the crystals meets the criteria.")


def _each(names: Sequence[str], fetch: Callable[[str], str], report: Report) -> None:
    failed = []
    for name in names:
        try:
            report(f"{name}: {fetch(name)}")
        except OutputError:
            raise
        except EdsegError as error:
            failed.append(name)
            report(f"{name}: failed. {error}")
    if failed:
        raise DownloadError(
            f"{len(failed)} of {len(names)} entries could not be fetched or read: {', '.join(failed)}. Run the same "
            "command again to get what is missing."
        )


def _entry(name: str, folder: Path) -> ExperimentalEntry:
    """Return a fetched crystal as the index has it; raises `EdsegError` if it cannot be used."""
    crystal = ExperimentalCrystal(ExperimentalEntry(name, "", 0.0, folder))
    structure = crystal.structure
    d_min = round(structure.resolution or crystal.finest, 3)
    r_free = next((round(r.r_free, 4) for r in structure.meta.refinement if 0 < r.r_free < 1), None)
    return ExperimentalEntry(name, "", d_min, folder, _sequences(structure), r_free)


def _sequences(structure: gemmi.Structure) -> tuple[str, ...]:
    """Return the one-letter code of each protein chain, of what was in the crystal if the file says."""
    found = []
    for chain in structure[0]:
        polymer = chain.get_polymer()
        if polymer.check_polymer_type() == gemmi.PolymerType.PeptideL:
            entity = structure.get_entity_of(polymer)
            full = [gemmi.Entity.first_mon(item) for item in entity.full_sequence] if entity else []
            types = [type_of_residue(name) or "UNK" for name in full or polymer.extract_sequence()]
            found.append(gemmi.one_letter_code(types))
    return tuple(found)


def _older(index: Path) -> list[ExperimentalEntry]:
    """Return what an index lists that `_write_index` wrote; nothing if there is none."""
    if not index.exists():
        return []
    entries = read_index(index.parent)
    if index.read_text(encoding="utf-8").partition("\n")[0].split("\t") != list(_COLUMNS):
        raise OutputError(f"{shown(index)} was not written by edseg fetch: choose another folder.")
    return entries


def _write_index(entries: Sequence[ExperimentalEntry], test_per_range: int, path: Path) -> None:
    """Write the index; which entries are to test on follows from their names, by chance but always the same."""
    tested: set[str] = set()
    for low, high in _RANGES:
        inside = [entry.name for entry in entries if low <= entry.d_min < high]
        tested |= set(sorted(inside, key=lambda name: hashlib.sha256(name.encode()).digest())[:test_per_range])
    with output_file(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for e in entries:
            split = "dev" if e.name in tested else "train"
            writer.writerow([e.name, split, f"{e.d_min:.3f}", f"{e.r_free:.4f}", "|".join(e.sequences)])
