"""The lower part of the panel: which classes are shown, at which level, how coloured and labelled; export."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtGui, QtWidgets

from pymol_edseg.commands.files import edseg_export
from pymol_edseg.commands.view import edseg_color, edseg_label, edseg_show
from pymol_edseg.export import WHAT
from pymol_edseg.label_format import LABEL_FORMATS
from pymol_edseg.palette import COLORS, GROUPS
from pymol_edseg.panel.call import Caller
from pymol_edseg.records import COLOR_MODES
from pymol_edseg.state import Result

Qt = QtCore.Qt

_COLUMNS = 5
#: The slider covers these standard deviations of the map.
_SIGMAS = (0.0, 5.0)


class ViewBox(QtWidgets.QGroupBox):  # type: ignore[misc]
    """Switches of the classes, level of the density, colours and labels, export."""

    def __init__(self, call: Caller, parent: Any = None) -> None:
        super().__init__("Density", parent)
        self.call = call
        self.result: Result | None = None
        self.classes: dict[str, Any] = {}
        self.everything = QtWidgets.QPushButton("All")
        self.nothing = QtWidgets.QPushButton("None")
        self.level = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self.level.setRange(0, 200)
        self.value = QtWidgets.QLabel()
        self.color = QtWidgets.QComboBox()
        self.color.addItems(COLOR_MODES)
        self.labels = QtWidgets.QComboBox()
        self.labels.addItems(list(LABEL_FORMATS))
        self.what = QtWidgets.QComboBox()
        self.what.addItems(list(WHAT))
        self.export = QtWidgets.QPushButton("Export …")
        # The surfaces are computed when the slider rests, not at each step.
        self._rest = QtCore.QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(120)
        self._lay_out()
        self._rest.timeout.connect(self._set_level)
        self.level.valueChanged.connect(self._moved)
        self.everything.clicked.connect(lambda: self._show(tuple(COLORS)))
        self.nothing.clicked.connect(lambda: self._show(()))
        self.color.activated.connect(lambda _: self._call(edseg_color, self.color.currentText()))
        self.labels.activated.connect(lambda _: self._call(edseg_label, self.labels.currentText()))
        self.export.clicked.connect(self._ask_file)
        self.show_result(None)

    def _lay_out(self) -> None:
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(2)
        ordered = [label for classes in GROUPS.values() for label in classes]
        for number, label in enumerate(ordered):
            box = QtWidgets.QCheckBox(label)
            swatch = QtGui.QPixmap(12, 12)
            swatch.fill(QtGui.QColor(COLORS[label]))
            box.setIcon(QtGui.QIcon(swatch))
            box.clicked.connect(lambda _=False: self._show(tuple(c for c, b in self.classes.items() if b.isChecked())))
            self.classes[label] = box
            grid.addWidget(box, number // _COLUMNS, number % _COLUMNS)
        level = QtWidgets.QHBoxLayout()
        for widget in (self.everything, self.nothing, QtWidgets.QLabel("Level")):
            level.addWidget(widget)
        level.addWidget(self.level, 1)
        level.addWidget(self.value)
        self.everything.setMaximumWidth(48)
        self.nothing.setMaximumWidth(48)
        last = QtWidgets.QHBoxLayout()
        for title, widget in (("Colour", self.color), ("Label", self.labels)):
            last.addWidget(QtWidgets.QLabel(title))
            last.addWidget(widget)
        last.addStretch(1)
        last.addWidget(self.what)
        last.addWidget(self.export)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(grid)
        layout.addLayout(level)
        layout.addLayout(last)

    def show_result(self, result: Result | None) -> None:
        """Show how a result is shown."""
        self.result = result
        self.setEnabled(result is not None)
        if result is None:
            return
        view = result.view
        for label, box in self.classes.items():
            box.setChecked(label in view.shown)
        self.color.setCurrentText(view.color)
        self.labels.setCurrentText(view.label)
        if view.level is not None:
            mean, sd = self._scale()
            share = ((view.level - mean) / sd - _SIGMAS[0]) / (_SIGMAS[1] - _SIGMAS[0])
            self.level.blockSignals(True)
            self.level.setValue(round(share * self.level.maximum()))
            self.level.blockSignals(False)
            self._tell(view.level)

    def export_to(self, path: str) -> None:
        """Write a file."""
        self._call(edseg_export, path, self.what.currentText())

    def _ask_file(self) -> None:
        forms = "mmCIF (*.cif);;PDB (*.pdb);;CSV (*.csv);;PyMOL script (*.pml);;Coot script (*.py)"
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Export proposals", "residues.cif", forms)
        if path:
            self.export_to(path)

    def _scale(self) -> tuple[float, float]:
        """Return the mean and the standard deviation of the map."""
        return (self.result.data.mean, self.result.data.sd or 1.0) if self.result else (0.0, 1.0)

    def _slider_level(self) -> float:
        mean, sd = self._scale()
        sigma = _SIGMAS[0] + (_SIGMAS[1] - _SIGMAS[0]) * self.level.value() / self.level.maximum()
        return mean + sd * sigma

    def _tell(self, level: float) -> None:
        mean, sd = self._scale()
        self.value.setText(f"{(level - mean) / sd:.2f} sd")

    def _moved(self) -> None:
        self._tell(self._slider_level())
        self._rest.start()

    def _set_level(self) -> None:
        if self.result is not None:
            self._show(self.result.view.shown, level=f"{self._slider_level():.4g}")

    def _show(self, classes: tuple[str, ...], **options: Any) -> None:
        self._call(edseg_show, "+".join(classes) or "none", **options)

    def _call(self, command: Any, *args: object, **options: Any) -> None:
        if self.result is not None:
            self.call(command, *args, **options, name=self.result.name)
