"""What a user does with mouse and keys, for `gui_driver` inside PyMOL's window."""

import importlib
import json
import os
import time
from pathlib import Path

from pymol import cmd, gui
from pymol.Qt import PYQT_NAME, QtCore, QtWidgets

import pymol_edseg

QtTest = importlib.import_module(f"{PYQT_NAME}.QtTest")
#: What the test asks for (map, folder, what, scenario), and what came of it.
PARAMETERS = json.loads(os.environ["EDSEG_GUI"])
FOLDER = Path(PARAMETERS["folder"])
REPORT = {}
Qt = QtCore.Qt
LEFT = Qt.MouseButton.LeftButton


class Heart:
    """Beats in the event loop; the longest pause shows whether the window was stuck."""

    def __init__(self):
        self.longest, self.last = 0.0, time.perf_counter()
        self.timer = QtCore.QTimer()
        self.timer.timeout.connect(self.beat)
        self.timer.start(10)

    def beat(self):
        now = time.perf_counter()
        self.longest, self.last = max(self.longest, now - self.last), now

    def reset(self):
        self.longest, self.last = 0.0, time.perf_counter()


def wait_until(condition, seconds=300.0):
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError(f"waited {seconds} s in vain")
        QtTest.QTest.qWait(20)


def click(widget):
    QtTest.QTest.mouseClick(widget, LEFT)
    QtTest.QTest.qWait(30)


def choose_file(button, path):
    """Click `button` and choose `path` in the dialog that opens; returns what the dialog had chosen."""
    chosen = []

    def choose():
        dialog = QtWidgets.QApplication.activeModalWidget()
        if not isinstance(dialog, QtWidgets.QFileDialog):
            QtCore.QTimer.singleShot(100, choose)
            return
        dialog.findChild(QtWidgets.QLineEdit).setText(str(path))
        chosen.extend(dialog.selectedFiles())
        buttons = dialog.findChild(QtWidgets.QDialogButtonBox)
        QtTest.QTest.mouseClick(buttons.button(QtWidgets.QDialogButtonBox.StandardButton.Open), LEFT)

    QtCore.QTimer.singleShot(100, choose)
    click(button)
    # Under Xvfb there is no window manager that gives the focus back.
    button.window().activateWindow()
    QtTest.QTest.qWait(100)
    return chosen[0]


def picture(name):
    QtTest.QTest.qWait(600)
    QtWidgets.QApplication.primaryScreen().grabWindow(0).save(str(FOLDER / f"{name}.png"))


def viewer_picture(name):
    QtTest.QTest.qWait(300)
    cmd.png(str(FOLDER / f"{name}.png"))
    wait_until(lambda: (FOLDER / f"{name}.png").exists(), 20)


def open_by_menu():
    pymol_edseg.__init_plugin__()
    actions = [a for a in gui.get_qtwindow().findChildren(QtWidgets.QWidget) if isinstance(a, QtWidgets.QMenu)]
    (entry,) = [a for menu in actions for a in menu.actions() if a.text() == "edseg"]
    entry.trigger()
    (panel,) = [w for w in QtWidgets.QApplication.allWidgets() if w.objectName() == "edseg"]
    gui.get_qtwindow().move(0, 0)
    return panel


def row_of(panel, number):
    model = panel.table_box.model
    (row,) = [i for i, proposal in enumerate(model.proposals) if proposal.id == number]
    return panel.table_box.filter.mapFromSource(model.index(row, 0))


def click_row(panel, number):
    view = panel.table_box.view
    index = row_of(panel, number)
    view.scrollTo(index)
    QtTest.QTest.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    QtTest.QTest.qWait(100)


def site(number):
    return list(cmd.get_coords(f"edseg_1_sites and resi {number}")[0])
