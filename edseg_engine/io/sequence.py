"""Protein sequences from FASTA files."""

from __future__ import annotations

import re
from pathlib import Path

from edseg_engine.errors import ModelFormatError

_GAPS = re.compile(r"[-.\s]|\*$")
_NUCLEOTIDES = frozenset("ACGTUN")


def count_residues(path: Path | str) -> int:
    """Return the number of residues of all chains of a FASTA file; see `read_sequences`.

    Every entry counts once: a chain that occurs twice in the region asked for has to stand there twice.
    """
    return sum(map(len, read_sequences(path)))


def read_sequences(path: Path | str) -> tuple[str, ...]:
    """Return the sequences of a FASTA file in one-letter code, in capitals.

    Gaps (``-`` and ``.``), a final ``*`` and empty entries are left out, unknown residues (``X``) are kept.

    Raises
    ------
    ModelFormatError
        If the file cannot be read, is no FASTA file, or holds anything but protein sequences.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ModelFormatError(f"The sequence {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path} is no FASTA file: it is not text.") from error
    entries: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, lines)):
        if line.startswith(">"):
            entries.append((line[1:].strip(), ""))
        elif entries:
            entries[-1] = (entries[-1][0], entries[-1][1] + line)
        else:
            raise ModelFormatError(f"{path} is no FASTA file: it does not begin with a line '>name'.")
    sequences = tuple(filter(None, (_letters(path, name, sequence) for name, sequence in entries)))
    if not sequences:
        raise ModelFormatError(f"{path} holds no sequence.")
    return sequences


def _letters(path: Path, name: str, sequence: str) -> str:
    letters = _GAPS.sub("", sequence).upper()
    if strange := re.search(r"[^A-Z]", letters):
        raise ModelFormatError(f"{path} is no protein sequence: {strange[0]!r} in {name or 'an entry'} is no residue.")
    if letters and _NUCLEOTIDES.issuperset(letters):
        raise ModelFormatError(
            f"{path}: {name or 'an entry'} looks like a nucleotide sequence; remove it, or give the number of amino "
            "acids with --residues."
        )
    return letters
