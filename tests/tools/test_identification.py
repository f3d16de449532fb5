"""The tool that looks for the proteins of known crystals: its database and its figures."""

from __future__ import annotations

from pathlib import Path

import gemmi
import pytest

from edseg_engine.building.search import Candidate, FragmentHit
from edseg_engine.errors import TrainingDataError
from places import CRYSTAL, MODEL
from tools.identification import _figures, main, sequences_of, write_database


def test_a_database_has_each_sequence_once_and_shuffled_ones(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / MODEL.name).write_bytes(MODEL.read_bytes())
    sequences = list(sequences_of(tmp_path))
    protein = next(s for s in sequences if len(s) > 90)
    count = write_database(tmp_path / "database.fasta", [*sequences, "SHORT"], 5)
    found = [entry.seq for entry in gemmi.read_pir_or_fasta((tmp_path / "database.fasta").read_text())]
    assert count == len(found) == len(set(found)) == 5
    assert found[0] == protein
    assert all(sorted(sequence) == sorted(protein) for sequence in found)


def test_the_right_sequence_is_looked_for_and_the_best_other_one() -> None:
    own, other = (
        Candidate(letter, "", letter * 40, (FragmentHit(0, 1, 20, score, 1e-12),), 1e-9)
        for letter, score in (("A", 50.0), ("G", 20.0))
    )
    assert _figures([own, other], ["A" * 40]) == ["1", "1e-09", "50", "20", "20"]
    assert _figures([own, other], ["G" * 40])[0] == "2"
    assert _figures([own], ["C" * 40]) == ["not among the first", "", "", "50", ""]


def test_crystals_without_sequences_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.tsv").write_text("id\tsplit\tresolution\n1az5\tdev\t2.0\n")
    (tmp_path / "1az5").symlink_to(CRYSTAL)
    arguments = ["--experimental", str(tmp_path), "--structures", str(tmp_path), "--crystals", "1az5"]
    assert main(arguments) == TrainingDataError.exit_code
    assert "no sequences of 1az5" in capsys.readouterr().err
