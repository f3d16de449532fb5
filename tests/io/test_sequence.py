"""Sequences of FASTA files: those of a crystal, and those of a database."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edseg_engine.errors import ModelFormatError
from edseg_engine.io.sequence import count_residues, read_database, read_sequences

LETTERS = "ABCDEFGHIKLMNPQRSTUVWXYZ"


def fasta(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "protein.fasta"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "n"),
    [
        (">1AZ5\nPQFSLWRRPV", 10),
        (">chain A\nPQFS\nLWRR\n\n>chain B\nPQFS\n", 12),
        (">windows\r\nPQFS\r\nLW\r\n", 6),
        ("\ufeff>marked as UTF-8\nPQFS", 4),
        ("\n\n>lower case, end, gaps, groups of ten\npqfs-lw..rr PVVK*\n", 12),
        (">unknown and rare residues\nXPQUZBOJ", 8),
        (">no name needed\n\n>\nLIVE", 4),
    ],
)
def test_residues_of_all_chains(tmp_path: Path, text: str, n: int) -> None:
    assert count_residues(fasta(tmp_path, text)) == n


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no sequence"),
        (">only a name\n", "holds no sequence"),
        (">only gaps\n--..*\n", "holds no sequence"),
        ("PQFSLW\n", "does not begin with"),
        ("HEADER    HYDROLASE\nATOM      1  N   PRO A   1\n", "does not begin with"),
        (">a quotation\nThe quick, brown fox\n", "',' in a quotation is not a residue"),
        (">numbered\n1 PQFS 10\n", "'1' in numbered is not a residue"),
        (">two ends\nPQ*FS\n", "is not a residue"),
        (">dna\nACGTTGCAACGT\n", "dna looks like a nucleotide sequence"),
        (">protein\nPQFSLW\n>rna\nacguuugc\n", "rna looks like a nucleotide sequence"),
        (b">a name\nPQFS\xff\xfe", "not text"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "cannot be unpacked"),
    ],
)
def test_what_is_no_protein_sequence_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message) as caught:
        count_residues(fasta(tmp_path, text))
    assert "protein.fasta" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    places = {".": "is a directory", "missing.fasta": "does not exist", "pipe": "not a regular file"}
    for name, message in places.items():
        with pytest.raises(ModelFormatError, match=message):
            count_residues(tmp_path / name)
        with pytest.raises(ModelFormatError, match=message):
            list(read_database(tmp_path / name, 10))


def test_too_much_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "protein.fasta.gz"
    path.write_bytes(gzip.compress(b">long\n" + b"A" * (1 << 26), 1))
    with pytest.raises(ModelFormatError, match="more than 64 MB"):
        count_residues(path)


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    assert read_sequences(fasta(tmp_path, gzip.compress(b">x\nPQFS\n>y\nLW\n"))) == ("PQFS", "LW")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_database_is_read_in_blocks(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = b"\n>sp|1 first one\nPQ-fs.\r\nL1W*\n>empty\n--\n>\nM\xffA\n>end\nCC" + b"\n>z\nGG" * 20_000
    blocks = list(read_database(fasta(tmp_path, pack(text)), 2))
    assert [len(entries) for entries, _ in blocks] == [2] * 10_001 + [1]
    assert blocks[0][0] == [("sp|1 first one", "PQFSLXW"), ("unnamed", "MXA")]
    assert blocks[1][0] == [("end", "CC"), ("z", "GG")]
    fractions = [fraction for _, fraction in blocks]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] <= fractions[-1] == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chains=st.lists(st.text(LETTERS, min_size=1, max_size=200), min_size=1, max_size=5), width=st.integers(1, 80))
def test_the_count_does_not_depend_on_the_layout(tmp_path: Path, chains: list[str], width: int) -> None:
    chains = ["M" + chain for chain in chains]
    lines = [line for chain in chains for line in (">x", *(chain[i : i + width] for i in range(0, len(chain), width)))]
    assert count_residues(fasta(tmp_path, "\n".join(lines))) == sum(map(len, chains))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_any_content_is_counted_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        n = count_residues(fasta(tmp_path, b">x\n" + content))
    except ModelFormatError:
        return
    assert 0 < n <= len(content)


@pytest.mark.parametrize(
    ("text", "sequences"),
    [
        (">chain A\nPQFS\nLWRR\n>empty\n\n>chain B\npq-f..s*\n", ("PQFSLWRR", "PQFS")),
        (">P1;crambin\nsome title. Not a sequence\nTTCC\nPSIV*\n", ("TTCCPSIV",)),
        (">x\n\n  > indented\nMA", ("MA",)),
    ],
)
def test_sequences_of_each_chain(tmp_path: Path, text: str, sequences: tuple[str, ...]) -> None:
    assert read_sequences(fasta(tmp_path, text)) == sequences
