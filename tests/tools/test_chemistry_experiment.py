"""Chemical terms in the loss, which chapter 7 of the thesis proposes, as an experiment with a small network."""

from __future__ import annotations

from pathlib import Path

import pytest

from edseg_engine.networks.weights import load_weights
from small_experiments import RUN, experiment_folder, run_twice, weights_file
from tiny_training import TINY
from tools.experiments import chemistry
from tools.experiments.core import fixed_range


def test_chemistry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    experiment_folder(data)
    start = weights_file(tmp_path / "start.safetensors", TINY, fixed_range(2.0))
    arguments = ["--structures", str(data), "--experimental", str(data), "--maps", "1", *RUN]
    arguments += ["--start-from", str(start), "--resolutions", "2"]
    rows = run_twice(chemistry.main, arguments, tmp_path / "out", "chemistry")
    assert [row["term"] for row in rows] == ["before", "without", "with"]
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in ("N", "CA", "O", "chirality", "rank1"))
        assert float(row["C-O"]) > 0
    cards = [load_weights(tmp_path / "out" / arm / "wide.safetensors").card for arm in ("without", "with")]
    assert [card.training["options"]["chemistry_weight"] for card in cards] == [0, 10]
    assert "| high | with |" in capsys.readouterr().out
