"""The sequences of a FASTA or PIR file."""

from __future__ import annotations

import re
from pathlib import Path

import gemmi

from edseg_engine.errors import ModelFormatError
from edseg_engine.io.files import check_regular
from edseg_engine.io.names import shown

_NUCLEOTIDES = frozenset("ACGTUN")
_LARGEST = 1 << 26


def count_residues(path: Path | str) -> int:
    """Return the number of residues of all chains of a FASTA or PIR file; see `read_sequences`.

    Every entry counts once: a chain that occurs twice in the region asked for has to stand there twice.
    """
    return sum(map(len, read_sequences(path)))


def read_sequences(path: Path | str) -> tuple[str, ...]:
    """Return the sequences of a FASTA or PIR file in one-letter code, in capitals.

    Gaps (``-`` and ``.``), a final ``*`` and empty entries are left out, unknown residues (``X``) are kept.

    Raises
    ------
    ModelFormatError
        If the file cannot be read, is not a FASTA file, or holds anything but protein sequences.
    """
    path = Path(path)
    name = shown(path)
    try:
        check_regular(path)
        if path.stat().st_size > _LARGEST:
            raise ModelFormatError(f"{name} is not a FASTA file: it has more than {_LARGEST >> 20} MB.")
        text = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ModelFormatError(f"The sequence {name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{name} is not a FASTA file: it is not text.") from error
    if text and not text.startswith(">"):
        raise ModelFormatError(f"{name} is not a FASTA file: it does not begin with a line '>name'.")
    entries = re.split(r"\n\s*(?=>)", text) if text else []
    sequences = tuple(filter(None, (_letters(entry, name) for entry in entries)))
    if not sequences:
        raise ModelFormatError(f"{name} holds no sequence.")
    return sequences


def _letters(entry: str, file_name: str) -> str:
    title, _, lines = entry.partition("\n")
    name = title[1:].strip() or "an entry"
    try:
        (found,) = gemmi.read_pir_or_fasta(f"{title}\n{lines.replace('.', '-')}")
    except (RuntimeError, ValueError):
        # gemmi refuses what is no letter and no gap, but does not say where.
        strange = re.search(r"[^A-Za-z\s.()*-]|\*(?=\s*\S)", lines)
        letter = repr(strange[0]) if strange else "a letter"
        raise _not_protein(file_name, letter, name) from None
    letters = found.seq.replace("-", "").upper()
    if strange := re.search(r"[^A-Z]", letters):
        raise _not_protein(file_name, repr(strange[0]), name)
    if letters and _NUCLEOTIDES.issuperset(letters):
        raise ModelFormatError(
            f"{file_name}: {name} looks like a nucleotide sequence; remove it, or give the number of amino acids with "
            "--residues."
        )
    return letters


def _not_protein(file_name: str, letter: str, name: str) -> ModelFormatError:
    return ModelFormatError(f"{file_name} is not a protein sequence: {letter} in {name} is not a residue.")
