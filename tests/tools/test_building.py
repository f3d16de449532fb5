"""The tool that builds known crystals: what it reads, and what it gives to be built."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edseg_engine.dataset.experimental import ExperimentalCrystal, ExperimentalEntry
from edseg_engine.dataset.phases import TYPICAL
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from places import CRYSTAL, MTZ
from tools.building import main, write_initial


def test_data_that_cannot_be_used_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--experimental", str(tmp_path), "--crystals", "1az5"]
    assert main(command) == TrainingDataError.exit_code
    assert "index.tsv cannot be read" in capsys.readouterr().err
    shutil.copytree(CRYSTAL, tmp_path / "1az5")
    (tmp_path / "index.tsv").write_text("id\tsplit\tresolution\n1az5\tdev\t2.0\n")
    assert main(command) == TrainingDataError.exit_code
    assert "gives no sequences of 1az5" in capsys.readouterr().err
    assert main([*command, "other"]) == OptionError.exit_code
    printed = capsys.readouterr()
    assert "other" in printed.err
    assert printed.out == "", "no table is begun in vain"


@pytest.mark.parametrize("phases", ["main-chain", "experimental"])
def test_initial_phases_lie_beside_what_was_measured(tmp_path: Path, phases: str) -> None:
    crystal = ExperimentalCrystal(ExperimentalEntry("1az5", "dev", 2.5, CRYSTAL))
    write_initial(crystal, phases, np.random.default_rng(3), tmp_path / "initial.mtz")
    initial = crystal.initial_density(2.5, TYPICAL[phases], np.random.default_rng(3))
    written = read_map(tmp_path / "initial.mtz")
    assert written.values.shape == initial.values.shape
    np.testing.assert_allclose(written.values, initial.values, atol=1e-3 * initial.values.std())
    before, after = read_amplitudes(MTZ), read_amplitudes(tmp_path / "initial.mtz")
    assert before is not None
    assert after is not None
    assert sorted(after.f.tolist()) == sorted(before.f.tolist())
    assert after.labels[:3] == before.labels[:3]
    assert (after.hl is not None) == (phases == "experimental")
