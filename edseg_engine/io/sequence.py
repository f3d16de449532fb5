"""The sequences of a FASTA or PIR file, and those of a database."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import gemmi

from edseg_engine.errors import ModelFormatError
from edseg_engine.io.files import opened, read_text
from edseg_engine.io.names import shown

_NUCLEOTIDES = frozenset("ACGTUN")
_LARGEST = 1 << 26

#: Title of an entry, and its letters.
Entry = tuple[str, str]


def count_residues(path: Path | str) -> int:
    """Return the number of residues of all chains of a FASTA or PIR file; see `read_sequences`.

    Every entry counts once: a chain that occurs twice in the region asked for has to stand there twice.
    """
    return sum(map(len, read_sequences(path)))


def read_sequences(path: Path | str) -> tuple[str, ...]:
    """Return the sequences of a FASTA or PIR file, also compressed, in one-letter code, in capitals.

    Gaps (``-`` and ``.``), a final ``*`` and empty entries are left out, unknown residues (``X``) are kept.

    Raises
    ------
    ModelFormatError
        If the file cannot be read, is not a FASTA file, or holds anything but protein sequences.
    DeviceError
        If there is not enough memory.
    """
    path = Path(path)
    name = shown(path)
    with opened(path, ModelFormatError) as file:
        content = read_text(file, _LARGEST, name, ModelFormatError)
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")
    try:
        sequences = tuple(filter(None, (_chain(entry, name) for entry in _entries(lines, name))))
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{name} is not a FASTA file: it is not text.") from error
    if not sequences:
        raise ModelFormatError(f"{name} holds no sequence.")
    return sequences


def read_database(path: Path, at_once: int) -> Iterator[tuple[list[Entry], float]]:
    """Yield the entries of a FASTA file of any size, also compressed, and the fraction of it that has been read.

    Letters are capitals; gaps (``-`` and ``.``), ``*`` and empty entries are left out, and what is no letter becomes X.

    Parameters
    ----------
    at_once
        How many entries are yielded together.

    Raises
    ------
    ModelFormatError
        If the file cannot be read or is not a FASTA file.
    """
    with opened(path, ModelFormatError) as file:
        size = max(1, os.fstat(file.fileno()).st_size)
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
        entries = ((title or "unnamed", _letters(body)) for title, body in _entries(lines, shown(path)))
        not_empty = (entry for entry in entries if entry[1])
        while block := list(islice(not_empty, at_once)):
            yield block, os.lseek(file.fileno(), 0, os.SEEK_CUR) / size


def is_nucleotide(letters: str) -> bool:
    """Return whether a sequence is probably DNA or RNA."""
    return _NUCLEOTIDES.issuperset(letters)


def _entries(lines: Iterable[str], name: str) -> Iterator[Entry]:
    """Yield the title of each entry and what follows it."""
    title: str | None = None
    body: list[str] = []
    for line in lines:
        text = line.strip()
        if text.startswith(">"):
            if title is not None:
                yield title, "\n".join(body)
            title, body = text[1:].strip(), []
        elif title is not None:
            body.append(text)
        elif text:
            raise ModelFormatError(f"{name} is not a FASTA file: it does not begin with a line '>name'.")
    if title is not None:
        yield title, "\n".join(body)


def _letters(lines: str) -> str:
    return re.sub(r"[^A-Z]", "X", re.sub(r"[\s.*-]", "", lines).upper())


def _chain(entry: Entry, file_name: str) -> str:
    """Return the letters of a protein chain; raises `ModelFormatError` for anything else."""
    title, lines = entry
    name = title or "an entry"
    try:
        (found,) = gemmi.read_pir_or_fasta(f">{title}\n{lines.replace('.', '-')}")
    except (RuntimeError, ValueError):
        # gemmi refuses what is no letter and no gap, but does not say where.
        strange = re.search(r"[^A-Za-z\s.()*-]|\*(?=\s*\S)", lines)
        letter = repr(strange[0]) if strange else "a letter"
        raise _not_protein(file_name, letter, name) from None
    letters = found.seq.replace("-", "").upper()
    if strange := re.search(r"[^A-Z]", letters):
        raise _not_protein(file_name, repr(strange[0]), name)
    if letters and is_nucleotide(letters):
        raise ModelFormatError(
            f"{file_name}: {name} looks like a nucleotide sequence; remove it, or give the number of amino acids with "
            "--residues."
        )
    return letters


def _not_protein(file_name: str, letter: str, name: str) -> ModelFormatError:
    return ModelFormatError(f"{file_name} is not a protein sequence: {letter} in {name} is not a residue.")
