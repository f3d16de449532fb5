"""The focus on one residue, the overview of all, and a partial model that is completed."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path
from typing import Any

import pytest
from pymol import CmdException

from places import MODEL, MTZ
from pretend_engine import pretend_engine
from pymol_edseg.completion import slots
from pymol_edseg.focus import SLAB
from pymol_edseg.geometry import ideal_residue
from pymol_edseg.label_format import format_label
from pymol_edseg.palette import COLORS
from pymol_edseg.state import Check, Completion, Doubt, state_of

DATA = Path(__file__).with_name("data")


def shown(cmd: Any, selection: str = "edseg_1_sites") -> set[int]:
    return {int(atom.resi) for atom in cmd.get_model(f"{selection} and rep spheres").atom}


def labelled(cmd: Any, name: str = "edseg_1_sites") -> dict[int, str]:
    found: dict[int, str] = {}
    cmd.iterate(f"%{name}", "label and found.update({resv: label})", space={"found": found})
    return found


def test_focus_shows_one_residue_and_its_neighbours(loaded: Any) -> None:
    result = state_of(loaded).results["edseg_1"]
    assert shown(loaded) == set(range(1, 96))
    assert labelled(loaded) == {}
    loaded.select("sele", "edseg_1_sites and resi 12", enable=1)
    assert loaded.edseg_next("doubt") == 95
    assert loaded.get_names("public_selections", 1) == ["sele"]
    proposal = result.by_id[95]
    near = {p.id for p in result.proposals if p.id != 95 and math.dist(p.position, proposal.position) < 12}
    assert shown(loaded) == near
    assert labelled(loaded) == {n: result.by_id[n].label for n in near}
    (here,) = loaded.get_model("edseg_1_here and rep spheres").atom
    assert labelled(loaded, "edseg_1_here") == {95: format_label("ranks", proposal, None)}
    # What a model would get of it.
    atoms = loaded.get_model("edseg_1_here and rep sticks and bonded").atom
    expected = ideal_residue(proposal.atoms)
    assert {atom.name for atom in atoms} >= {"N", "CA", "C", "O"}
    assert all(math.dist(atom.coord, expected[atom.name]) < 1e-3 for atom in atoms)
    assert loaded.get_position() == pytest.approx(here.coord, abs=0.01)
    colors: list[int] = []
    loaded.iterate(
        "edseg_1_here and elem C or edseg_1_sites and resi 95", "colors.append(color)", space={"colors": colors}
    )
    assert len(set(colors)) == 1 < len(colors)
    view = loaded.get_view()
    assert view[16] - view[15] == pytest.approx(SLAB, abs=0.1)
    enabled = set(loaded.get_names("objects", 1))
    assert {"edseg_1_part", "edseg_1_mesh", "edseg_1_trace"} <= enabled
    assert "edseg_1_surface" not in enabled
    # The map is drawn around the residue, wherever its asymmetric unit is.
    assert loaded.get_extent("edseg_1_mesh") == [
        pytest.approx([x - 9 for x in here.coord], abs=0.01),
        pytest.approx([x + 9 for x in here.coord], abs=0.01),
    ]
    # The user's zoom stays from one residue to the next.
    loaded.move("z", 5)
    depth = loaded.get_view()[11]
    loaded.edseg_next("chain")
    assert loaded.get_view()[11] == pytest.approx(depth, abs=0.01)

    loaded.edseg_show("all", level=1.1)  # a level alone stays there
    assert loaded.isolevel("edseg_1_part", query=1) == pytest.approx(1.1)
    loaded.edseg_overview()
    assert shown(loaded) == set(range(1, 96))
    assert labelled(loaded) == {}
    assert not {"edseg_1_here", "edseg_1_part", "edseg_1_mesh"} & set(loaded.get_names("objects"))
    assert "edseg_1_surface" in loaded.get_names("objects", 1)
    loaded.edseg_goto(3)
    loaded.edseg_show("LEU")
    assert "edseg_1_here" not in loaded.get_names("objects")


def test_decisions_in_focus_are_drawn_in_the_overview(loaded: Any) -> None:
    result = state_of(loaded).results["edseg_1"]
    loaded.edseg_goto(3)
    loaded.edseg_accept("3")
    loaded.edseg_relabel("4", as_="w")
    loaded.edseg_goto(4)
    drawn = result.drawn
    loaded.edseg_reject("5")
    assert result.drawn == drawn  # nothing is computed behind the focus
    assert labelled(loaded, "edseg_1_here")[4].startswith("TRP: ")
    colors: set[int] = set()
    for name in ("edseg_1_voxels", "edseg_1_sites"):
        loaded.iterate(f"{name} and resi 4", "colors.add(color)", space={"colors": colors})
    assert colors == {loaded.get_color_index("0x" + COLORS["TRP"][1:])}
    loaded.edseg_overview()
    assert not result.drawn[0] & {result.by_id[n].address for n in (3, 5)}
    sizes: dict[int, float] = {}
    loaded.iterate("edseg_1_sites", "sizes[resv] = s.sphere_scale", space={"sizes": sizes})
    assert sizes[3] < sizes[4]
    assert shown(loaded) == set(range(1, 96)) - {5}
    assert [atom.resi for atom in loaded.get_model("edseg_1_sites and rep nonbonded").atom] == ["5"]
    assert loaded.count_atoms("edseg_1_model and name CA and rep sticks") == 1


def test_focus_is_in_the_session(loaded: Any, tmp_path: Path) -> None:
    loaded.edseg_goto(7)
    loaded.save(str(tmp_path / "session.pse"))
    loaded.reinitialize()
    state_of(loaded).results.clear()
    loaded.load(str(tmp_path / "session.pse"))
    loaded.edseg_accept("7")
    assert "edseg_1_surface" not in loaded.get_names("objects", 1)
    loaded.edseg_overview()
    assert "edseg_1_surface" in loaded.get_names("objects", 1)


def test_confidence_colours_the_surface_too_over_the_range_of_the_data(loaded: Any) -> None:
    loaded.edseg_color("confidence")
    colors: dict[str, set[int]] = {}
    loaded.iterate("edseg_1_sites or edseg_1_voxels", "colors.setdefault(resi, set()).add(color) and None",
                   space={"colors": colors})  # fmt: skip
    assert all(len(found) == 1 for found in colors.values())
    first, last = (loaded.get_color_tuple(next(iter(colors[resi]))) for resi in ("1", "95"))
    assert first == pytest.approx((254 / 255, 232 / 255, 56 / 255), abs=0.01)
    assert last == pytest.approx((0, 34 / 255, 78 / 255), abs=0.01)


def test_surface_is_at_the_level_of_a_map_that_pymol_normalised(cmd: Any, finished_run: Path, map_file: Path) -> None:
    cmd.load(str(map_file), "density")
    cmd.isomesh("mesh", "density", 2.0)
    run = state_of(cmd)
    cmd.edseg_load(str(finished_run / "result"))
    result = run.results["edseg_1"]
    cmd.delete("edseg_1*")
    # The same, found in the file as it is: the engine's units are not those of PyMOL's map.
    mean, sd = result.data.mean, result.data.sd
    data = dict(result.data.data) | {"input": dict(result.data.data["input"]) | {"mean": 3.0, "sd": 0.5}}
    folder = finished_run.parent / "raw"
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps(data), encoding="utf-8")
    for name in ("voxels.pdb", "density.ccp4"):
        (folder / name).write_bytes((finished_run / "result" / name).read_bytes())
    cmd.enable("mesh")
    name = cmd.edseg_load(str(folder), map_obj="density")
    assert cmd.isolevel(f"{name}_surface", query=1) == pytest.approx(3.0 + 0.5 * (2.0 - mean) / sd, rel=1e-3)
    cmd.edseg_goto(1)
    assert cmd.isolevel(f"{name}_mesh", query=1) == pytest.approx(2.0, rel=1e-3)


def test_a_gap_is_filled_under_its_numbers(loaded: Any, tmp_path: Path) -> None:
    cmd = loaded
    cmd.load(str(MODEL), "known")
    cmd.remove("known and not polymer")
    cmd.create("partial", "known and not resi 20-29")
    # In another cell of the crystal.
    a, _, c = cmd.get_symmetry("known")[:3]
    for name in ("partial", "known"):
        cmd.alter_state(1, name, "x, z = x - a, z + c", space={"a": a, "c": c})
    cmd.alter("partial and resi 52", "resi = '51A'")  # an insertion code is no other residue's number
    cmd.sort("partial")
    lacking = cmd.edseg_complete("partial")
    assert 10 <= len(lacking) < 16
    completion = state_of(cmd).results["edseg_1"].completion
    assert {("A", n) for n in range(20, 30)} <= set(completion.slots.values())
    assert set(completion.slots) <= set(lacking)
    assert shown(cmd) == set(lacking)
    ids = [number for number, (_, i) in completion.slots.items() if 20 <= i <= 29]
    assert set(cmd.edseg_accept("gaps")) >= set(ids)
    true = {atom.resi: atom.coord for atom in cmd.get_model("known and name CA").atom}
    filled = cmd.get_model("partial and name CA and resi 20-29").atom
    assert [(atom.chain, atom.resi) for atom in filled] == [("A", str(n)) for n in range(20, 30)]
    assert max(math.dist(atom.coord, true[atom.resi]) for atom in filled) < 3
    joints = cmd.get_model("partial and (resi 19+29 and name C or resi 20+30 and name N)")
    assert len(joints.bond) == 2
    numbers = [atom.resi_number for atom in cmd.get_model("partial and name CA").atom]
    assert numbers == sorted(numbers)

    cmd.save(str(tmp_path / "session.pse"))
    cmd.reinitialize()
    state_of(cmd).results.clear()
    cmd.load(str(tmp_path / "session.pse"))
    assert state_of(cmd).results["edseg_1"].completion == completion
    cmd.edseg_undo()
    assert cmd.count_atoms("partial and resi 20-29") == 0
    before = cmd.get_coords("edseg_1_sites")
    cmd.edseg_complete("none")
    assert shown(cmd) == set(range(1, 96))
    assert abs(cmd.get_coords("edseg_1_sites") - before).max() > 10
    with pytest.raises(CmdException, match="fills no gap"):
        cmd.edseg_accept("gaps")


def test_places_that_disagree_are_listed_where_the_model_lies(loaded: Any, tmp_path: Path) -> None:
    cmd = loaded
    cmd.load(str(MODEL), "known")
    cmd.remove("known and not polymer")
    a = cmd.get_symmetry("known")[0]
    cmd.alter_state(1, "known", "x = x - a", space={"a": a})  # in another cell of the crystal
    shifted = tuple(("A", str(n)) for n in range(30, 37))
    state_of(cmd).checks["known"] = Check((Doubt((("A", "10"),), "A LEU 10"), Doubt(shifted, "A 30 to 36")))
    found = cmd.edseg_doubts("known")
    result = state_of(cmd).results["edseg_1"]
    true = {atom.resi: atom.coord for atom in cmd.get_model("known and name CA").atom}
    wanted = ("10", *map(str, range(30, 37)))
    places = {min(true, key=lambda n: math.dist(true[n], result.by_id[i].anchor)) for i in found}
    assert places == set(wanted)
    assert all(min(math.dist(true[n], result.by_id[i].anchor) for n in wanted) < 2 for i in found)
    said = result.completion.doubts
    assert sorted(said.values()) == [*7 * ["A 30 to 36"], "A LEU 10"]
    assert shown(cmd) == set(found)
    assert cmd.edseg_next("doubt") in found
    cmd.save(str(tmp_path / "session.pse"))
    cmd.reinitialize()
    state_of(cmd).__init__()
    cmd.load(str(tmp_path / "session.pse"))
    assert state_of(cmd).results["edseg_1"].completion == result.completion
    assert cmd.edseg_accept(found[0]) == ()  # the model has it
    cmd.edseg_complete("none")
    assert state_of(cmd).results["edseg_1"].completion is None


def test_doubtful_proposals_are_listed(loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = state_of(loaded).results["edseg_1"]
    with pytest.raises(CmdException, match="has not been checked"):
        loaded.edseg_doubts("known")
    unsure = [p.id for p in result.proposals if p.confidence < 0.5]
    found = loaded.edseg_doubts(quiet=0)
    assert set(found) == {*unsure, *result.at_odds}
    assert f"{unsure[-1]}: confidence" in capsys.readouterr().out
    assert loaded.edseg_next("doubt") == found[0]
    loaded.edseg_overview()
    assert shown(loaded) == set(range(1, 96))  # the others are still there, without density
    assert {int(resi) for _, resi in result.drawn[0]} == set(found)
    loaded.edseg_accept("all")
    assert loaded.count_atoms("edseg_1_model and name CA") == len(found)  # in a model of their own
    loaded.edseg_complete("none")
    assert loaded.edseg_next("doubt") not in found  # what is undecided


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({1: ("A", 5), 5: ("A", 9)}, {2: 6, 3: 7, 4: 8}),
        ({1: ("A", 5)}, {2: 6, 3: 7, 4: 8, 5: 9}),
        ({5: ("A", 9)}, {1: 5, 2: 6, 3: 7, 4: 8}),
        ({1: ("A", 5), 5: ("A", 12)}, {}),  # more or fewer residues than the gap has numbers
        ({1: ("A", 5), 5: ("B", 9)}, {}),
        ({}, {}),
    ],
)
def test_numbers_follow_the_neighbours_in_the_chain(has: dict[int, tuple[str, int]], expected: dict[int, int]) -> None:
    assert slots([[1, 2, 3, 4, 5], [6]], has, set(has.values())) == {n: ("A", i) for n, i in expected.items()}


def test_numbers_that_the_model_has_are_not_given_again() -> None:
    assert slots([[1, 2]], {1: ("A", 5)}, {("A", 5), ("A", 6)}) == {}
    assert slots([[1, 2], [3, 4]], {1: ("A", 5), 3: ("A", 5)}, {("A", 5)}) == {2: ("A", 6)}


def test_coot_gets_a_list_and_labels(cmd: Any, tmp_path: Path) -> None:
    cmd.edseg_load(str(DATA / "run-1/result"))
    cmd.edseg_accept("1-3")
    cmd.edseg_comment("2", 'it\'s "here"\\')
    assert cmd.edseg_export(str(tmp_path / "coot.py"), "accepted") == 3
    told: list[Any] = []
    names = {"place_text": lambda *a: told.append(a), "interesting_things_gui": lambda *a: told.append(a)}
    runpy.run_path(str(tmp_path / "coot.py"), names)
    *texts, (title, places) = told
    sites = {int(atom.resi): atom.coord for atom in cmd.get_model("edseg_1_sites").atom}
    assert title == "edseg"
    assert [list(text[1:4]) for text in texts] == [pytest.approx(sites[n], abs=1e-3) for n in (1, 2, 3)]
    assert [place[1:] for place in places] == [list(text[1:4]) for text in texts]
    assert places[1][0] == texts[1][0] + ' (accepted: it\'s "here"\\)'


def test_engine_speaks_in_the_words_of_the_plugin(
    cmd: Any, map_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmd.load(str(map_file), "density")
    said = "tell('error', message='No device: choose --device cpu or auto, --residues 95, or another --weights.')"
    monkeypatch.setenv("EDSEG_PYTHON", str(pretend_engine(tmp_path / "engine", said)))
    with pytest.raises(CmdException, match="choose device=cpu or auto, residues=95, or another weights="):
        cmd.edseg_segment("density", 2.0)


def test_maps_are_shown_when_they_are_loaded(cmd: Any) -> None:
    cmd.set("normalize_ccp4_maps", 0)
    cmd.edseg_load_map(str(MTZ), "density")
    mean, sd = cmd.get_volume_histogram("density", 1)[2:4]
    assert cmd.isolevel("density_mesh", query=1) == pytest.approx(mean + 1.5 * sd, rel=1e-4)
    assert state_of(cmd).resolutions.find(cmd, "density") == pytest.approx(2.0, abs=0.05)
    cmd.delete("density")
    with pytest.raises(CmdException, match="'density_mesh' already exists"):
        cmd.edseg_load_map(str(MTZ), "density")


def test_completions_of_others_are_checked(cmd: Any) -> None:
    cmd.edseg_load(str(DATA / "run-1/result"))
    result = state_of(cmd).results["edseg_1"]
    sound = Completion("partial", {}, {}).to_json() | {"images": [[1, 0, [0, 1, 0]]], "slots": [[1, "A", 5]]}
    assert Completion.from_json(sound, {1}, result.crystal).slots == {1: ("A", 5)}
    for change in ({"images": [[9, 0, [0, 0, 0]]]}, {"images": [[1, 400, [0, 0, 0]]]}, {"model": "a; quit"}):
        with pytest.raises(ValueError, match=r"not"):
            Completion.from_json(sound | change, {1}, result.crystal)
