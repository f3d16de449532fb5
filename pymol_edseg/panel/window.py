"""The panel as a whole: beside PyMOL's window, following the session."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from pymol_edseg.focus import follow_centre
from pymol_edseg.objects import focused
from pymol_edseg.panel.call import Caller
from pymol_edseg.panel.run_box import RunBox
from pymol_edseg.panel.table_box import TableBox
from pymol_edseg.panel.view_box import ViewBox
from pymol_edseg.panel.viewer_keys import ViewerKeys
from pymol_edseg.state import Result, state_of

_INTERVAL = 400
_WIDTH, _HEIGHT = 530, 760


class Panel(QtWidgets.QDockWidget):  # type: ignore[misc]
    """Map and run, proposals, and view, below each other."""

    def __init__(self, cmd: Any, parent: Any = None) -> None:
        super().__init__("edseg", parent)
        self.setObjectName("edseg")
        self.cmd = cmd
        self.message = QtWidgets.QLabel()
        self.message.setWordWrap(True)
        # Without text it keeps its place, so that nothing moves below a click.
        self.message.setMinimumHeight(self.message.fontMetrics().lineSpacing())
        call = Caller(cmd, self.show_message)
        self.results = QtWidgets.QComboBox()
        self.run_box, self.table_box, self.view_box = RunBox(call), TableBox(call), ViewBox(call)
        body = QtWidgets.QWidget()
        layout = QtWidgets.QVBoxLayout(body)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addWidget(self.run_box)
        layout.addWidget(self.message)
        layout.addWidget(self.results)
        layout.addWidget(self.table_box, 1)
        layout.addWidget(self.view_box)
        self.setWidget(body)
        self.results.activated.connect(lambda _: self._show(self.results.currentText()))
        self._picked: set[tuple[str, str]] = set()
        self._objects: list[str] = []
        if parent is not None:
            self._keys = ViewerKeys(parent, self.table_box.keys, self._takes_keys)
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(_INTERVAL)
        self._timer.timeout.connect(self._follow_session)
        state_of(cmd).listeners.append(self._heard)
        self._follow_results()

    def showEvent(self, event: Any) -> None:
        self._timer.start()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def show_message(self, text: str, error: bool) -> None:
        """Show a line below the run; an error in red."""
        self.message.setText(text)
        self.message.setStyleSheet("color: #C24E00; font-weight: bold" if error else "")

    def result(self) -> Result | None:
        """Return the result that is shown."""
        return state_of(self.cmd).results.get(self.results.currentText())

    def _models(self) -> list[str]:
        """Return the models that are not of a result."""
        own = tuple(f"{name}_" for name in state_of(self.cmd).results)
        return [name for name in self.cmd.get_names_of_type("object:molecule") if not name.startswith(own)]

    def _takes_keys(self) -> bool:
        """Return whether keys in the viewer are the table's: in focus, while the panel is open."""
        result = self.result()
        return self.isVisible() and result is not None and focused(self.cmd, result) is not None

    def _heard(self, topic: str) -> None:
        if topic == "run":
            self.run_box.follow_run()
            run = state_of(self.cmd).run
            if run is not None and not run.active:
                failed = run.status.state == "failed"
                self.show_message(" ".join((state_of(self.cmd).last_message, *run.warnings)), failed)
                self.table_box.batch.follow_check()
        elif topic == "results":
            self._follow_results()
        elif topic == "decisions":
            self.table_box.follow_decisions()
        elif topic == "view":
            self.view_box.show_result(self.result())
        elif topic == "current":
            self._follow_current()

    def _follow_current(self) -> None:
        result = self.result()
        if result is None or result.current is None or self.table_box.going:
            return
        if result.current not in self.table_box.ids():
            self.table_box.select([result.current])

    def _follow_results(self) -> None:
        names = list(state_of(self.cmd).live(self.cmd))
        shown = [self.results.itemText(i) for i in range(self.results.count())]
        chosen = self.results.currentText()
        if names != shown:
            fresh = [name for name in names if name not in shown]
            self.results.clear()
            self.results.addItems(names)
            self.results.setCurrentText(fresh[-1] if fresh else chosen)
        self.results.setVisible(len(names) > 1)
        self._show(self.results.currentText())

    def _show(self, name: str) -> None:
        result = state_of(self.cmd).results.get(name)
        self.table_box.show_result(result)
        self.view_box.show_result(result)

    def _follow_session(self) -> None:
        """Notice maps that were loaded, results that were deleted, and atoms that were picked in the viewer."""
        objects = self.cmd.get_names("objects")
        if objects != self._objects:
            self._objects = objects
            self.run_box.follow_maps()
            self.table_box.batch.follow_models(self._models())
            if list(state_of(self.cmd).live(self.cmd)) != [
                self.results.itemText(i) for i in range(self.results.count())
            ]:
                self._follow_results()
        result = self.result()
        if result is None or result.sites not in objects:
            return
        follow_centre(self.cmd, result)
        picked: set[tuple[str, str]] = set()
        where = f"?sele and (%{result.sites} or ?{result.trace} or ?{result.here})"
        if "sele" in self.cmd.get_names("public_selections", 1):
            self.cmd.iterate(where, "picked.add((chain, resi))", space={"picked": picked})
        if picked and picked != self._picked:
            self.table_box.select([p.id for p in result.proposals if p.address in picked])
        self._picked = picked


def show_panel(cmd: Any) -> Panel:
    """Open the panel of a PyMOL, or bring it to the front, and return it."""
    from pymol import gui

    state = state_of(cmd)
    panel: Panel | None = getattr(state, "panel", None)
    if panel is None:
        window = gui.get_qtwindow()
        panel = Panel(cmd, window)
        state.panel = panel  # type: ignore[attr-defined]
        if window is not None:
            # Floating: some PyMOLs of Qt 6 draw nothing more once their viewer was made smaller.
            panel.setFloating(True)
            window.addDockWidget(QtCore.Qt.DockWidgetArea.RightDockWidgetArea, panel)
        _place(panel, window)
    panel.show()
    panel.raise_()
    panel.activateWindow()
    return panel


def _place(panel: Panel, window: Any) -> None:
    """Put the panel beside PyMOL's window, as far as the screen allows."""
    panel.resize(_WIDTH, _HEIGHT)
    if window is None:
        return
    screen = QtWidgets.QApplication.primaryScreen().availableGeometry()
    frame = window.frameGeometry()
    panel.resize(_WIDTH, min(max(_HEIGHT, frame.height()), screen.height() - 40))
    panel.move(min(frame.right() + 1, screen.right() - _WIDTH), max(screen.top(), frame.top()))
