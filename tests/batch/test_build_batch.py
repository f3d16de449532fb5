"""A batch of models: a piece of the real crystal is built, and what cannot be built stops no other map."""

from __future__ import annotations

from pathlib import Path

import gemmi
import pytest

from batches import journal_of, noise_map
from edseg_engine.batch.journal_file import open_journal
from edseg_engine.batch.records import Done, Failed
from edseg_engine.batch.run import BatchOptions, run_batch
from edseg_engine.batch.settings import MapSettings
from edseg_engine.crystal.density_map import DensityMap
from engine import needs_engine
from tools.timing import write_cube


@pytest.fixture
def maps(tmp_path: Path, crystal_map: DensityMap) -> list[Path]:
    """A file that is no map, a map without a protein, and one with some residues of the crystal; the last is good."""
    folder = tmp_path / "data"
    empty, piece, unreadable = (folder / name for name in ("empty.ccp4", "piece.ccp4", "unreadable.mtz"))
    noise_map(empty)
    unreadable.write_text("no map")
    write_cube(crystal_map, 24.0, 0.7, piece)
    return [unreadable, empty, piece]


@needs_engine
def test_what_cannot_be_built_stops_no_other_map(maps: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = BatchOptions("build", MapSettings(resolution=2.0, orientations=1, cycles=1, refine=False), device="cpu")
    result = run_batch(maps, out, options)
    assert (result.done, result.failed, result.left) == (1, 2, 0)
    outcomes = {name: entry.result for name, entry in journal_of(out).items()}
    assert {name: each.kind for name, each in outcomes.items() if isinstance(each, Failed)} == {
        "unreadable": "MapFormatError",
        "empty": "BuildError",
    }
    done = outcomes["piece"]
    assert isinstance(done, Done)
    model = gemmi.read_structure(str(out / "piece" / "model.pdb"))
    assert done.summary["residues"] == sum(len(chain) for chain in model[0]) > 5
    assert sorted(path.name for path in (out / "piece").iterdir()) == sorted(done.files)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["piece"]

    with open_journal(out, "build") as journal:
        journal.begin("piece", "")  # as if killed before it was written down
    assert run_batch(maps, out, options).done == 1
    again = journal_of(out)["piece"]
    assert (again.state, again.result) == ("done", done)
    assert again.attempts == 2, "the model that was there is taken, no other is built"
