"""Checking a model from PyMOL: colours, selections, and steps through what disagrees."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pymol import CmdException

from full_disk import file_size_limit
from places import MODEL
from pymol_edseg import storage
from pymol_edseg.checking import CHECK
from pymol_edseg.commands.check import _fits_pdb
from pymol_edseg.engine import Engine
from pymol_edseg.engine_process import Run
from pymol_edseg.palette import LABELS
from pymol_edseg.records import MapReference
from pymol_edseg.state import state_of


@pytest.fixture
def model(cmd: Any) -> Any:
    """PyMOL with the shipped model, as "known"."""
    cmd.load(str(MODEL), "known")
    cmd.remove("not polymer")
    return cmd


def residue(chain: str, number: str, own: float | None, likeliest: str = "ALA", shift: int = 0) -> dict[str, Any]:
    probabilities = dict.fromkeys(LABELS, 0.0) | {likeliest: 0.9}
    return {
        "chain": chain,
        "number": number,
        "type": "LEU",
        "probability": own,
        "likeliest": None if own is None else likeliest,
        "doubtful": own is not None and own < 0.05,
        "shift": shift,
        "probabilities": None if own is None else probabilities,
    }


def report(chain: str = "A") -> dict[str, Any]:
    residues = [residue(chain, str(n), 1.0) for n in range(1, 96)]
    residues[9] = residue(chain, "10", 0.01, "PHE")
    residues[19] = residue(chain, "20", None)
    residues[29:36] = [residue(chain, str(n), 0.01, "ALA", shift=1) for n in range(30, 37)]
    shift = {"chain": chain, "first": "30", "last": "36", "by": 1, "evidence": 9.5}
    shift |= {"built": "DTGADDT", "fitting": "TGADDTV"}
    return {"schema": "edseg-check/1", "residues": residues, "shifts": [shift], "warnings": ["Few residues."]}


def finish(cmd: Any, data: dict[str, Any]) -> str:
    folder = storage.new_run_folder("known")
    run = Run(CHECK, "known", MapReference("density"), Engine(("none",), "PATH"), folder, ())
    run.results.mkdir()
    (run.results / "check.json").write_text(json.dumps(data), encoding="utf-8")
    try:
        return CHECK.finish(cmd, run)
    finally:
        storage.remove_run(folder)


def color(cmd: Any, number: int) -> tuple[float, ...]:
    found: list[int] = []
    cmd.iterate(f"known and resi {number} and name CA", "found.append(color)", space={"found": found})
    return tuple(cmd.get_color_tuple(found[0]))


@pytest.mark.parametrize("chain", ["A", ""])
def test_what_disagrees_is_coloured_and_visited(model: Any, chain: str) -> None:
    model.alter("known", f"chain={chain!r}")
    model.sort()
    before = [atom.b for atom in model.get_model("known").atom]
    said = finish(model, report(chain))
    assert "95 residues, 94 of them in density" in said
    assert "1 doubtful types, 1 register shifts" in said
    assert [atom.b for atom in model.get_model("known").atom] == before
    assert color(model, 5) == pytest.approx((0, 0, 1), abs=0.01)
    assert color(model, 10) == pytest.approx((1, 0.02, 0.02), abs=0.01)
    assert color(model, 20) == pytest.approx((0.7, 0.7, 0.7), abs=0.01)
    assert {atom.resi for atom in model.get_model("edseg_shifted").atom} == set(map(str, range(30, 37)))
    first = model.edseg_next_doubt()
    assert first == f"{chain} LEU 10: looks like PHE (90 %; LEU 1 %)".strip()
    assert math.dist(model.get_position(), model.get_model("known and resi 10 and name CA").atom[0].coord) < 3
    second = model.edseg_next_doubt()
    assert "30 to 36: built DTGADDT, fits TGADDTV (+1, evidence 10)" in second
    assert model.edseg_next_doubt() == first
    assert model.edseg_next_doubt(-1) == second
    model.remove("known and resi 10")
    with pytest.raises(CmdException, match="check it again"):
        model.edseg_next_doubt()


def test_doubts_are_in_the_session(model: Any, tmp_path: Path) -> None:
    finish(model, report())
    first = model.edseg_next_doubt()
    model.save(str(tmp_path / "session.pse"))
    model.reinitialize()
    state_of(model).checks.clear()
    model.load(str(tmp_path / "session.pse"))
    assert model.edseg_next_doubt() == first
    assert color(model, 10) == pytest.approx((1, 0.02, 0.02), abs=0.01)
    assert "_edseg_doubt" not in model.get_names("all")


def test_a_model_that_agrees(model: Any) -> None:
    data = report() | {"residues": [residue("A", str(n), 1.0) for n in range(1, 96)], "shifts": []}
    assert "0 doubtful types, 0 register shifts" in finish(model, data)
    assert "edseg_shifted" not in model.get_names("all")
    with pytest.raises(CmdException, match="Nothing in known disagrees"):
        model.edseg_next_doubt()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "edseg-check/9"},
        {"residues": [{}]},
        {"residues": [residue("A", "1", 2.0)]},
        {
            "shifts": [
                {"chain": "A", "first": "300", "last": "301", "by": 1, "evidence": 1, "built": "A", "fitting": "A"}
            ]
        },
        {"warnings": ["\x1b[2J"]},
    ],
)
def test_damaged_checks_are_refused(model: Any, change: dict[str, Any]) -> None:
    before = color(model, 5)
    with pytest.raises(ValueError, match="cannot be read"):
        finish(model, report() | change)
    assert color(model, 5) == before
    with pytest.raises(CmdException, match="No model has been checked"):
        model.edseg_next_doubt()


def test_mistakes_of_the_user(model: Any) -> None:
    model.pseudoatom("point")
    for name, sentence in (("nothing", "no model 'nothing'"), ("point", "no protein"), ("known", "no map object")):
        with pytest.raises(CmdException, match=sentence):
            model.edseg_check(name, "density", 2.0)
    with pytest.raises(CmdException, match="'hand'"):
        model.edseg_check("known", "density", 2.0, hand="left")
    assert state_of(model).run is None


def test_a_check_that_does_not_start_takes_no_earlier_one_away(model: Any, map_file: Path) -> None:
    finish(model, report())
    model.load(str(map_file), "density")
    with file_size_limit(10_000), pytest.raises(CmdException, match="Cannot write"):
        model.edseg_check("known", "density", 2.0)
    assert "looks like PHE" in model.edseg_next_doubt()
    with pytest.raises(CmdException, match="whole number"):
        model.edseg_next_doubt("0.5")


def test_models_that_pdb_files_cannot_hold_are_handed_over_as_mmcif(model: Any) -> None:
    assert _fits_pdb(model, "known")
    model.alter("known and resi 5", "resi = '12005'")
    assert not _fits_pdb(model, "known")
    model.alter("known", "resi, chain = '1', 'AA'")
    assert not _fits_pdb(model, "known")


def test_the_engine_finds_a_wrong_residue(model: Any, map_file: Path) -> None:
    model.load(str(map_file), "density")
    names = {atom.resi: atom.resn for atom in model.get_model("known and name CA").atom}
    (wrong, *_) = [resi for resi, name in names.items() if name == "TRP" and resi != "1"] or ["10"]
    model.alter(f"known and resi {wrong}", "resn = 'ASP'")
    model.sort()
    assert model.edseg_check("known", "density", 2.0, orientations=1) >= 1
    told = {model.edseg_next_doubt() for _ in range(5)}
    assert any(f"ASP {wrong}: looks like {names[wrong]}" in text for text in told), told
    assert list(storage.runs_folder().iterdir()) == []
    assert "doubtful types" in model.edseg_status()["last message"]
