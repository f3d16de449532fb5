"""Runs inside PyMOL's window: does what a user does with mouse and keys, and writes down what came of it.

PyMOL runs this script at its start. It reads its parameters from the environment variable ``EDSEG_GUI`` (JSON: map,
folder, what), and writes ``report.json`` and pictures to the folder.
"""

import json
import math
import os
import statistics
import sys
import time
import traceback
from pathlib import Path

from pymol import cmd, gui
from pymol.Qt import QtCore, QtWidgets

from gui_actions import (
    FOLDER,
    LEFT,
    PARAMETERS,
    REPORT,
    Heart,
    Qt,
    QtTest,
    choose_file,
    click,
    click_row,
    open_by_menu,
    picture,
    row_of,
    site,
    viewer_picture,
    wait_until,
)
from pymol_edseg import storage
from pymol_edseg.state import state_of


def whole_way():
    heart, panel = Heart(), open_by_menu()
    run_box, table, view = panel.run_box, panel.table_box, panel.view_box
    REPORT["startable without map"] = run_box.start.isEnabled() or run_box.build.isEnabled()
    picture("empty")
    cmd.load(PARAMETERS["map"], "density")
    cmd.isomesh("mesh", "density", 1.5)
    cmd.color("grey50", "mesh")
    wait_until(lambda: run_box.map.currentText() == "density", 5)

    # Without resolution: an error in the panel, no pop-up.
    click(run_box.start)
    REPORT["error without resolution"] = panel.message.text()
    QtTest.QTest.keyClicks(run_box.resolution, "2.0")
    sequence = FOLDER / "protein.fasta"
    sequence.write_text(">A\nACDEFG\n")
    REPORT["sequence chosen"] = choose_file(run_box.browse, sequence) == str(sequence) == run_box.contents.text()
    run_box.contents.clear()
    QtTest.QTest.keyClicks(run_box.contents, "95")

    click(run_box.start)
    wait_until(lambda: run_box.progress.value() > 0)
    heart.reset()
    click(run_box.stop)
    wait_until(lambda: not state_of(cmd).run.active, 15)
    REPORT["cancelled"] = {
        "state": run_box.progress.format(),
        "left": [str(p) for p in storage.runs_folder().iterdir()],
        "objects": cmd.get_names("objects"),
        "startable": run_box.start.isEnabled() and run_box.build.isEnabled(),
    }

    click(run_box.start)
    heart.reset()
    began, stages, pictured = time.perf_counter(), set(), False
    while state_of(cmd).run.active:
        if state_of(cmd).run.status.stage == "write":
            break
        QtTest.QTest.qWait(20)
        stages.add(run_box.progress.format())
        if state_of(cmd).run.status.stage == "network" and not pictured:
            QtWidgets.QApplication.primaryScreen().grabWindow(0).save(str(FOLDER / "running.png"))
            heart.reset()
            pictured = True
    REPORT["stages"] = sorted(stages)
    REPORT["longest pause of the run"] = heart.longest / (time.perf_counter() - began)
    wait_until(lambda: not state_of(cmd).run.active)
    REPORT["message"], REPORT["rows"] = panel.message.text(), table.filter.rowCount()
    wait_until(lambda: view.result is not None, 5)
    REPORT["meshes of the cell"] = "mesh" in cmd.get_names("objects", 1)
    cmd.orient("edseg_1_sites")
    picture("segmented")
    viewer_picture("surfaces")

    # Filters.
    table.label.setCurrentText("LEU")
    REPORT["LEU rows"] = table.filter.rowCount()
    REPORT["LEU classes"] = sorted(set(state_of(cmd).results["edseg_1"].classes().values()))
    REPORT["LEU expected"] = list(state_of(cmd).results["edseg_1"].classes().values()).count("LEU")
    table.label.setCurrentIndex(0)
    table.least.setValue(50)
    REPORT["sure rows"] = table.filter.rowCount()
    REPORT["sure expected"] = sum(p.confidence >= 0.5 for p in state_of(cmd).results["edseg_1"].proposals)
    table.least.setValue(0)

    # Table and viewer follow each other.
    cmd.edseg_label("ranks", 60)
    click_row(panel, 7)
    wait_until(lambda: max(abs(a - b) for a, b in zip(cmd.get_position(), site(7), strict=True)) < 0.1, 5)
    REPORT["centred"] = True
    cmd.select("sele", "edseg_1_sites and resi 12", enable=1)
    wait_until(lambda: table.ids() == [12], 5)
    cmd.delete("sele")

    # Decide by key and by button.
    click_row(panel, 7)
    QtTest.QTest.keyClick(table.view, Qt.Key.Key_A)
    click_row(panel, 8)
    QtTest.QTest.keyClick(table.view, Qt.Key.Key_R)
    click_row(panel, 9)
    QtTest.QTest.qWait(500)
    QtTest.QTest.keyClick(table.view, Qt.Key.Key_2)
    status = lambda n: row_of(panel, n).siblingAtColumn(6).data()  # noqa: E731
    rank2 = state_of(cmd).results["edseg_1"].by_id[9].ranks[1][0]
    REPORT["still centred"] = math.dist(cmd.get_position(), site(9)) < 0.1
    REPORT["by key"] = [status(7), status(8), status(9) == rank2]
    picture("decided")
    click(table.buttons["Undo"])
    click(table.buttons["Undo"])
    REPORT["undone"] = [status(7), status(8), status(9)]
    click(table.buttons["Redo"])
    REPORT["redone"] = status(8)
    click_row(panel, 10)
    click(table.buttons["Accept"])
    REPORT["model"] = cmd.count_atoms("edseg_1_model and name CA")
    keys_in_the_viewer(panel)
    several_at_once(panel)

    # Classes and level.
    click(table.buttons["Overview"])
    REPORT["overview"] = sorted(set(cmd.get_names("objects")) & {"edseg_1_here", "edseg_1_part", "edseg_1_mesh"})
    click(view.nothing)
    REPORT["no surface"] = cmd.get_names_of_type("object:surface")
    view.classes["LEU"].click()
    REPORT["one surface"] = cmd.get_names_of_type("object:surface")
    viewer_picture("one_class")
    before = cmd.isolevel("edseg_1_surface", query=1)
    view.level.setValue(view.level.value() + 40)
    wait_until(lambda: cmd.isolevel("edseg_1_surface", query=1) > before, 5)
    click(view.everything)
    view.export_to(str(FOLDER / "export.pdb"))
    REPORT["exported"] = (FOLDER / "export.pdb").exists()
    view.export_to(str(FOLDER / "export.xyz"))
    REPORT["export error"] = panel.message.text()
    picture("end")
    REPORT["pop-ups"] = [w.objectName() for w in QtWidgets.QApplication.topLevelWidgets() if w.isModal()]
    cmd.delete("edseg_1")
    cmd.delete("edseg_1_*")
    wait_until(lambda: table.filter.rowCount() == 0, 5)


def keys_in_the_viewer(panel):
    """Use the mouse in the viewer, then the keys there: they are the table's in focus, and PyMOL's in the overview."""
    table, viewer = panel.table_box, gui.get_qtwindow().pymolwidget
    result = state_of(cmd).results["edseg_1"]
    decided = lambda n: result.decisions()[n].status  # noqa: E731
    table.order.setCurrentText("least sure first")
    click_row(panel, 95)
    QtTest.QTest.mouseClick(viewer, LEFT, pos=QtCore.QPoint(40, 40))
    gui.get_qtwindow().activateWindow()  # under Xvfb there is no window manager that does it
    viewer.setFocus()
    wait_until(lambda: QtWidgets.QApplication.focusWidget() is viewer, 5)
    QtTest.QTest.keyClick(viewer, Qt.Key.Key_R)
    REPORT["R in the viewer"] = [decided(95), table.ids()]
    moves = []
    for key, modifier in (
        (Qt.Key.Key_Space, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_Space, Qt.KeyboardModifier.ShiftModifier),
        (Qt.Key.Key_Up, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_Right, Qt.KeyboardModifier.NoModifier),
    ):
        QtTest.QTest.keyClick(viewer, key, modifier)
        moves.append(table.ids())
    REPORT["moves in the viewer"] = moves
    REPORT["in focus"] = [atom.resi for atom in cmd.get_model("edseg_1_here and rep spheres").atom]
    wait_until(lambda: math.dist(cmd.get_position(), site(94)) < 0.1 and math.dist(result.centre, site(94)) < 0.1)
    QtTest.QTest.qWait(500)  # for the end of the view's animation
    before, names = result.centre, cmd.get_names("objects")
    cmd.move("x", 4)
    wait_until(lambda: result.centre != before)
    REPORT["map follows"] = math.dist(result.centre, cmd.get_position()) < 0.1 and cmd.get_names("objects") == names
    QtTest.QTest.keyClick(viewer, Qt.Key.Key_O)
    QtTest.QTest.keyClick(viewer, Qt.Key.Key_R)
    REPORT["R in the overview"] = decided(94)
    table.order.setCurrentText("as found")
    QtTest.QTest.keyClick(viewer, Qt.Key.Key_Backspace)
    panel.activateWindow()


def several_at_once(panel):
    """Accept what is sure, and undo it."""
    table, result = panel.table_box, state_of(cmd).results["edseg_1"]
    undecided = {p.id for p in result.proposals if result.decisions()[p.id].status == "undecided"}
    table.batch.sure.setValue(60)
    click(table.batch.buttons["Accept all"])
    accepted = {n for n in undecided if result.decisions()[n].status == "accepted"}
    REPORT["accepted at once"] = accepted == {n for n in undecided if result.by_id[n].confidence >= 0.6}
    table.batch.listed.setCurrentText("doubtful proposals")
    table.batch.listed.activated.emit(1)
    wait_until(lambda: table.filter.rowCount() < 95, 5)
    table.step(1, undecided=False)
    REPORT["doubt"] = panel.message.text() == result.completion.doubts[table.ids()[0]] != ""
    table.batch.listed.setCurrentText("all proposals")
    table.batch.listed.activated.emit(0)
    wait_until(lambda: table.filter.rowCount() == 95, 5)
    cmd.edseg_comment("95", "two places")
    REPORT["status of a comment"] = row_of(panel, 95).siblingAtColumn(6).data()
    click(table.buttons["Undo"])
    click(table.buttons["Undo"])


def many():
    """Load 2,000 proposals into the window and go on using it."""
    panel = open_by_menu()
    cpu = time.process_time()
    cmd.edseg_load(PARAMETERS["what"])
    wait_until(lambda: panel.table_box.filter.rowCount() == 2000)
    cmd.refresh()
    REPORT["processor seconds to appear"] = time.process_time() - cpu
    cmd.orient("edseg_1_sites")
    picture("many")
    times = []
    for number in range(1, 8):
        begin = time.process_time()
        click_row(panel, 100 * number)
        QtTest.QTest.keyClick(panel.table_box.view, Qt.Key.Key_A)
        times.append(time.process_time() - begin)
    REPORT["processor seconds for a decision"] = statistics.median(times)
    REPORT["accepted"] = cmd.count_atoms("edseg_1_model and name CA")


def pictures():
    """Take the pictures of the tutorial."""
    panel = open_by_menu()
    cmd.edseg_load_map(PARAMETERS["map"], "density")
    wait_until(lambda: panel.run_box.map.currentText() == "density", 5)
    panel.run_box.contents.setText("95")
    click(panel.run_box.start)
    wait_until(lambda: state_of(cmd).run.status.stage == "network")
    QtWidgets.QApplication.primaryScreen().grabWindow(0).save(str(FOLDER / "run.png"))
    wait_until(lambda: not state_of(cmd).run.active)
    cmd.orient("edseg_1_sites")
    picture("result")
    panel.table_box.order.setCurrentText("least sure first")
    click_row(panel, 94)
    QtTest.QTest.qWait(1000)
    picture("focus")
    cmd.edseg_accept("all", min_confidence=99)
    cmd.edseg_reject("95+94")
    cmd.edseg_relabel("93", as_="THR")
    click(panel.table_box.buttons["Overview"])
    cmd.orient("edseg_1_sites")
    QtTest.QTest.qWait(1000)
    picture("decide")


def script():
    """Run a script in the window: it waits for the engine, and the window stays alive."""
    panel, heart = open_by_menu(), Heart()
    cmd.load(PARAMETERS["map"], "density")
    file = FOLDER / "script.pml"
    file.write_text("edseg_segment density, 2.0, 95\nedseg_accept 1-3\n", encoding="utf-8")
    os.environ["EDSEG_PYTHON"] = PARAMETERS["what"]
    QtTest.QTest.qWait(100)
    heart.reset()
    beats = []
    heart.timer.timeout.connect(lambda: beats.append(state_of(cmd).run is not None and state_of(cmd).run.active))
    QtCore.QTimer.singleShot(1500, lambda: (Path(PARAMETERS["what"]).parent / "go on").touch())
    cmd.do(f"@{file}")
    wait_until(lambda: "edseg_1_model" in cmd.get_names("objects"))
    REPORT["beats while the script waited"] = sum(beats)
    REPORT["accepted"] = cmd.count_atoms("edseg_1_model and name CA")
    in_cycles(panel)
    smaller(panel)


def in_cycles(panel):
    """Segment in cycles, which only a map that was made of reflections allows."""
    box, engine = panel.run_box, Path(PARAMETERS["what"]).parent
    allowed = [box.cycles.isEnabled()]
    cmd.edseg_load_map(PARAMETERS["reflections"], "unsolved")
    wait_until(lambda: box.map.findText("unsolved") >= 0, 5)
    box.map.setCurrentText("unsolved")
    allowed.append(box.cycles.isEnabled())
    box.region.setCurrentText("cell")
    allowed.append(box.cycles.isEnabled())
    box.region.setCurrentText("auto")
    REPORT["cycles allowed"] = allowed
    box.cycles.setValue(0)
    least = box.cycles.value()
    box.cycles.setValue(100)
    REPORT["cycles offered"] = [least, box.cycles.value()]
    box.cycles.setValue(4)
    click(box.start)
    wait_until(lambda: not state_of(cmd).run.active)
    REPORT["words of the run"] = json.loads((engine / "words.json").read_text(encoding="utf-8"))


def smaller(panel):
    """Make the window smaller, go on drawing, and call Qt often."""
    none = sys.getrefcount(None)
    cmd.delete("all")
    cmd.fragment("trp")
    cmd.show_as("spheres")
    cmd.reset()
    cmd.color("0x009E73")  # the colour of LEU
    picture("larger")
    window = gui.get_qtwindow()
    window.resize(window.width() - 150, window.height() - 120)
    cmd.turn("y", 30)
    picture("smaller")
    for _ in range(3000):
        panel.run_box.progress.setFormat("")
    REPORT["references to None lost"] = none - sys.getrefcount(None)


def main():
    scenarios = {"whole way": whole_way, "many": many, "script": script, "pictures": pictures}
    try:
        scenarios[PARAMETERS["scenario"]]()
        REPORT["finished"] = True
    except BaseException:  # noqa: BLE001 (whatever it was, the test that waits must hear of it)
        REPORT["traceback"] = traceback.format_exc()
        picture("failed")
    (FOLDER / "report.json").write_text(json.dumps(REPORT, indent=1, default=str), encoding="utf-8")
    os._exit(0)


QtCore.QTimer.singleShot(1000, main)
