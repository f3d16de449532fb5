"""The tool that damages files: its examples are sound, and it notices what goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from places import CRYSTAL
from tools import fuzz as tool
from tools.fuzz import READERS, damaged, main, write_examples


def test_the_examples_can_be_read_and_damage_changes_them(tmp_path: Path) -> None:
    write_examples(CRYSTAL, tmp_path)
    rng = np.random.default_rng(0)
    for read, suffixes in READERS.values():
        for suffix in suffixes:
            read(tmp_path / f"x{suffix}")
            content = (tmp_path / f"x{suffix}").read_bytes()
            assert sum(damaged(content, rng) != content for _ in range(10)) >= 8


def test_a_sound_reader_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(CRYSTAL), "--readers", "fasta", "--minutes", "0.1", "--out", str(tmp_path / "kept")]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("| 0 |")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_process_that_ends_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 1"):  # there are no examples to begin with
        tool.fuzz("fasta", tmp_path, tmp_path, 1.0, 1)
