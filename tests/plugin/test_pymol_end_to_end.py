"""From a map in PyMOL to a model and files, with the real engine."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from scipy.spatial import cKDTree

from places import MODEL
from pretend_engine import WAITS, pretend_engine
from pymol_edseg import storage
from pymol_edseg.doubts import doubts
from pymol_edseg.ordering import order_of
from pymol_edseg.palette import COLORS, LABELS, class_of, file_name, rgb
from pymol_edseg.runner import pump
from pymol_edseg.state import state_of


def atoms(cmd: Any, selection: str) -> list[Any]:
    return list(cmd.get_model(selection).atom)


def labels_of(cmd: Any, selection: str) -> dict[int, str]:
    labels: dict[int, str] = {}
    cmd.iterate(selection, "labels[int(resi)] = label", space={"labels": labels, "int": int})
    return labels


def vertices(cmd: Any, name: str) -> np.ndarray:
    """Return the vertices (n, 3) of a surface in Å: those of the picture, seen along z from the origin."""
    view = cmd.get_view()
    enabled = cmd.get_names("objects", 1)
    cmd.set_view([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 10000, 0])
    cmd.disable("all")
    for parent in {name, name.rsplit("_", 1)[0], "edseg_1"}:
        if parent in cmd.get_names("all"):
            cmd.enable(parent)
    for other in cmd.get_names("objects", 1):
        if other != name and cmd.get_type(other) != "object:group":
            cmd.disable(other)
    text = ""
    for _ in range(20):  # PyMOL makes the geometry when it draws; the first exports may come before that
        text = cmd.get_mtl_obj()[1]
        if "\nv " in text:
            break
        cmd.rebuild()
        cmd.refresh()
        time.sleep(0.1)
    cmd.set_view(view)
    cmd.disable("all")
    for other in enabled:
        cmd.enable(other)
    found = [[float(x) for x in line.split()[1:4]] for line in text.splitlines() if line.startswith("v ")]
    return np.array(found).reshape(-1, 3)


def test_sites_are_those_of_the_engine(loaded: Any, finished_run: Path) -> None:
    result = json.loads((finished_run / "result/result.json").read_text(encoding="utf-8"))
    assert set(labels_of(loaded, "edseg_1_sites").values()) == {""}
    loaded.edseg_label("ranks")
    sites, labels = atoms(loaded, "edseg_1_sites"), labels_of(loaded, "edseg_1_sites")
    assert len(sites) == len(result["residues"]) == 95
    for site, residue in zip(sorted(sites, key=lambda a: int(a.resi)), result["residues"], strict=True):
        np.testing.assert_allclose(site.coord, residue["position"], atol=1e-3)
        assert site.b == pytest.approx(100 * residue["confidence"], abs=0.01)
        first = residue["ranks"][0]
        assert class_of(site.resn) == first["label"]
        probable = [rank for rank in residue["ranks"] if rank is first or rank["probability"] >= 0.05]
        text = " / ".join(f"{rank['label']} {100 * rank['probability']:.0f}" for rank in probable)
        assert labels[residue["id"]] == text
    colors: dict[str, int] = {}
    loaded.iterate("edseg_1_sites", "colors[resi] = color", space={"colors": colors})
    for site in sites:
        assert loaded.get_color_tuple(colors[site.resi]) == pytest.approx(rgb(COLORS[class_of(site.resn)]), abs=0.01)


def test_surfaces_lie_in_the_voxels_of_their_class(loaded: Any) -> None:
    loaded.edseg_show("all", level=1.0)
    voxels = atoms(loaded, "edseg_1_voxels")
    positions = np.array([a.coord for a in voxels])
    owners = np.array([a.segi for a in voxels])
    everywhere = cKDTree(positions)
    present = sorted(set(owners))
    assert len(present) > 8
    for label in present:
        loaded.edseg_show(label.replace("_", "/"))
        points = vertices(loaded, "edseg_1_surface")
        assert len(points) > 20, label
        assert cKDTree(positions[owners == label]).query(points)[0].max() < 1.11
        nearest = owners[everywhere.query(points)[1]]
        assert (nearest == label).mean() > 0.8, label


def test_surfaces_are_the_level_set_of_the_map(loaded: Any, map_file: Path) -> None:
    loaded.edseg_show("VAL+LEU", level=1.2)
    grid = gemmi.read_ccp4_map(str(map_file), setup=True).grid
    stored = gemmi.read_ccp4_map(str(map_file)).grid.array
    points = vertices(loaded, "edseg_1_surface")
    values = [grid.interpolate_value(gemmi.Position(*p)) for p in points.tolist()]
    # PyMOL shows the map in standard deviations of what the file holds; vertices lie on the edges of its grid.
    seen = (np.array(values) - stored.mean()) / stored.std()
    assert len(points) > 100
    assert np.abs(seen - 1.2).mean() < 0.02


def test_level_of_the_surfaces_is_the_one_of_the_users_mesh(cmd: Any, map_file: Path, finished_run: Path) -> None:
    cmd.load(str(map_file), "density")
    cmd.isomesh("mesh", "density", 1.7)
    cmd.edseg_load(str(finished_run / "result"), map_obj="density")
    assert cmd.isolevel("edseg_1_surface", query=1) == pytest.approx(1.7)
    assert "mesh" not in cmd.get_names("objects", 1)  # the whole cell's would hide it all
    cmd.edseg_show("all", level=2.5)
    assert cmd.isolevel("edseg_1_surface", query=1) == pytest.approx(2.5)


def test_classes_are_switched_singly(loaded: Any) -> None:
    everything = len(vertices(loaded, "edseg_1_surface"))
    assert loaded.edseg_show("PHE+TRP+TYR") == ("PHE", "TRP", "TYR")
    assert {a.segi for a in atoms(loaded, "edseg_1_voxels")} - {""} <= {"PHE", "TRP", "TYR"}
    assert 0 < len(vertices(loaded, "edseg_1_surface")) < everything / 2
    loaded.edseg_show("none")
    assert loaded.get_names_of_type("object:surface") == []
    loaded.edseg_show("all")
    assert len(vertices(loaded, "edseg_1_surface")) == everything


def test_decide_save_reload_export(loaded: Any, tmp_path: Path) -> None:
    cmd = loaded
    view = cmd.get_view()
    assert cmd.edseg_accept("3+7-9", as_="ILE") == (3, 7, 8, 9)
    assert {a.resn for a in atoms(cmd, "edseg_1_model")} == {"ILE"}
    assert cmd.edseg_reject("20-22") == (20, 21, 22)
    assert cmd.edseg_relabel("30", as_="THR") == (30,)
    assert cmd.edseg_accept("30") == (30,)
    assert cmd.count_atoms("edseg_1_model and name CA") == 5
    assert cmd.edseg_undo() == (30,)
    assert cmd.get_view() == pytest.approx(view, abs=1e-3)
    assert cmd.count_atoms("edseg_1_model and name CA") == 4
    before = state_of(cmd).results["edseg_1"].decisions()
    cmd.save(str(tmp_path / "session.pse"))
    names = cmd.get_names("all")
    cmd.reinitialize()
    assert cmd.edseg_status()["results"] == {}
    cmd.load(str(tmp_path / "session.pse"))
    assert cmd.get_names("all") == names
    assert state_of(cmd).results["edseg_1"].decisions() == before
    assert cmd.edseg_redo() == (30,)
    assert len(vertices(cmd, "edseg_1_surface")) > 100

    sites = {int(a.resi): a for a in atoms(cmd, "edseg_1_sites")}
    for name in ("all.pdb", "all.cif"):
        assert cmd.edseg_export(str(tmp_path / name)) == 95
        structure = gemmi.read_structure(str(tmp_path / name))
        assert structure.cell.parameters == pytest.approx((45.4, 45.4, 87.9, 90, 90, 120), abs=0.05)
        assert gemmi.SpaceGroup(structure.spacegroup_hm).number == 154
        residues = list(structure[0][0])
        assert [r.seqid.num for r in residues] == list(range(1, 96))
        for residue in residues:
            site = sites[residue.seqid.num]
            assert residue.name == site.resn
            assert residue[0].pos.tolist() == pytest.approx(site.coord, abs=2e-3)
            assert residue[0].b_iso == pytest.approx(site.b, abs=0.01)
        cmd.load(str(tmp_path / name), "again")
        assert [(a.resi, a.resn) for a in atoms(cmd, "again")] == [(str(n), sites[n].resn) for n in range(1, 96)]
        cmd.delete("again")
    assert cmd.edseg_export(str(tmp_path / "accepted.csv"), "accepted") == 5
    rows = list(csv.DictReader((tmp_path / "accepted.csv").open(encoding="utf-8")))
    assert [(row["id"], row["identity"]) for row in rows if row["id"] in "30"] == [("3", "ILE"), ("30", "THR")]
    assert cmd.edseg_export(str(tmp_path / "undecided.pdb"), "undecided") == 95 - 5 - 3
    cmd.edseg_export(str(tmp_path / "show.pml"))
    cmd.edseg_label("ranks")
    labels = labels_of(cmd, "edseg_1_sites")
    cmd.reinitialize()
    cmd.do(f"@{tmp_path / 'show.pml'}")
    assert labels_of(cmd, "edseg_1_sites") == labels
    assert {int(a.resi): a.resn for a in atoms(cmd, "edseg_1_sites")} == {n: a.resn for n, a in sites.items()}


def test_session_in_another_pymol(loaded: Any, tmp_path: Path) -> None:
    loaded.edseg_accept("1-5")
    loaded.edseg_reject("6")
    loaded.save(str(tmp_path / "session.pse"))
    script = tmp_path / "script.py"
    script.write_text(
        "import json, pymol_edseg\n"
        "from pymol import cmd\n"
        "pymol_edseg.__init_plugin__()\n"
        f"cmd.load({str(tmp_path / 'session.pse')!r})\n"
        "undone = cmd.edseg_undo()\n"
        "cmd.edseg_relabel('6', 'TRP')\n"
        "cmd.edseg_accept('7')\n"
        "cmd.edseg_next()\n"
        "cmd.edseg_overview()\n"
        "report = [undone, cmd.count_atoms('edseg_1_model and name CA'), cmd.get_names('objects')]\n"
        "print('REPORT', json.dumps(report))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, storage.RUNS_VARIABLE: str(tmp_path / "elsewhere")}
    command = [sys.executable, "-m", "pymol", "-cqk", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("REPORT ")), "")
    assert line, done.stdout + done.stderr
    undone, accepted, names = json.loads(line.removeprefix("REPORT "))
    assert (undone, accepted) == ([6], 6)
    assert "edseg_1_surface" in names


def test_results_loaded_during_a_run_stay(
    cmd: Any, map_file: Path, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmd.load(str(map_file), "density")
    monkeypatch.setenv("EDSEG_PYTHON", str(pretend_engine(tmp_path / "engine", WAITS)))
    shutil.copytree(finished_run / "result", tmp_path / "engine/result")
    assert cmd.edseg_segment("density", 2.0, 95, async_=1) == "edseg_1"
    assert cmd.edseg_load(str(finished_run / "result")) == "edseg_2"
    cmd.fragment("trp", "edseg_1")
    (tmp_path / "engine/go on").touch()
    run = state_of(cmd).run
    assert run is not None
    while run.active:
        run.wait(0.2)
        pump(cmd)
    assert list(state_of(cmd).results) == ["edseg_2", "edseg_3"]
    assert cmd.get_type("edseg_1") == "object:molecule"


def test_a_crash_takes_no_decision(loaded: Any) -> None:
    loaded.edseg_accept("1-5")
    loaded.edseg_reject("9")
    before = state_of(loaded).results["edseg_1"].decisions()
    loaded.reinitialize()  # nothing was saved
    assert loaded.edseg_load() == "edseg_1"
    assert state_of(loaded).results["edseg_1"].decisions() == before
    assert loaded.count_atoms("edseg_1_model and name CA") == 5
    assert loaded.edseg_undo() == (9,)


def test_residues_that_are_built_are_not_doubled(loaded: Any) -> None:
    cmd = loaded
    cmd.load(str(MODEL), "built")
    cmd.remove("built and resi 30-36")
    known = [a.coord for a in atoms(cmd, "built and polymer and name CA")]
    result = state_of(cmd).results["edseg_1"]
    structure = gemmi.UnitCell(45.4, 45.4, 87.9, 90, 90, 120)
    operations = gemmi.SpaceGroup("P 32 2 1").operations()
    expected = set()
    for proposal in result.proposals:
        where = structure.fractionalize(gemmi.Position(*proposal.atoms["CA"]))
        images = [gemmi.Fractional(*op.apply_to_xyz(where.tolist())) for op in operations]
        distances = [
            structure.find_nearest_image(gemmi.Position(*c), structure.orthogonalize(i), gemmi.Asu.Any).dist()
            for c in known
            for i in images
        ]
        if min(distances) >= 2.0:
            expected.add(proposal.id)
    before = cmd.count_atoms("built")
    accepted = cmd.edseg_accept("all", model="built")
    assert set(accepted) == expected
    assert 5 < len(accepted) < 20
    assert cmd.count_atoms("built and name CA") == len(known) + len(accepted)
    assert cmd.edseg_accept("all", model="built") == ()
    cmd.edseg_undo()
    assert cmd.count_atoms("built") == before


def test_colors_and_labels(loaded: Any) -> None:
    cmd = loaded
    cmd.edseg_color("confidence")
    colors: dict[str, int] = {}
    cmd.iterate("edseg_1_sites", "colors[resi] = color", space={"colors": colors})
    low, high = (sum(cmd.get_color_tuple(colors[str(n)])) for n in (95, 1))
    assert low < high
    median = np.median([a.b for a in atoms(cmd, "edseg_1_sites")])
    assert 40 < cmd.edseg_label("{id}|{label1}|{p1:.1f}", min_confidence=median) < 55
    first = next(a for a in atoms(cmd, "edseg_1_sites") if a.resi == "1")
    number, label, percent = labels_of(cmd, "edseg_1_sites")[1].split("|")
    assert (number, class_of(label)) == ("1", class_of(first.resn))
    assert float(percent) > 30
    assert cmd.edseg_label("none") == 0


def test_walks_visit_everything_once(loaded: Any) -> None:
    result = state_of(loaded).results["edseg_1"]
    orders = {by: order_of(result, by) for by in ("confidence", "doubt", "class", "chain")}
    for by, order in orders.items():
        assert sorted(order) == list(range(1, 96)), by
        loaded.edseg_goto(order[-3])
        assert [loaded.edseg_next(by, "all") for _ in range(6)] == [*order[-2:], *order[:4]], by
        assert loaded.edseg_next(by, "all", -5) == order[-2], by
    sites = {int(a.resi): a for a in atoms(loaded, "edseg_1_sites")}
    steps = [math.dist(sites[a].coord, sites[b].coord) for a, b in itertools.pairwise(orders["chain"])]
    assert np.median(steps) < 6.5
    assert orders["confidence"] == list(range(1, 96))
    first = list(doubts(result))
    assert orders["doubt"] == [*first, *(n for n in range(95, 0, -1) if n not in first)]
    assert loaded.edseg_goto(12) == 12
    np.testing.assert_allclose(loaded.get_position(), sites[12].coord, atol=0.1)
    assert loaded.edseg_next(step=-1) == 11
    assert LABELS[0] == "ALA"
    assert file_name("VAL/THR") == "VAL_THR"
