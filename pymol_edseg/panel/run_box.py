"""The upper part of the panel: what to segment and how, and its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymol.Qt import QtWidgets

from pymol_edseg.commands.build import edseg_build
from pymol_edseg.commands.common import preference
from pymol_edseg.commands.files import edseg_load_map
from pymol_edseg.commands.segment import REGIONS, edseg_cancel, edseg_segment
from pymol_edseg.commands.start import DEVICES
from pymol_edseg.engine import EngineError, find_engine
from pymol_edseg.map_export import map_names
from pymol_edseg.panel.call import Caller
from pymol_edseg.state import state_of

_AROUND = "around selection"
_MOST_CYCLES = 12


def _beside(field: Any, button: Any) -> Any:
    """Return a widget with a field and a button beside it."""
    both = QtWidgets.QWidget()
    row = QtWidgets.QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(field, 1)
    row.addWidget(button)
    return both


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class RunBox(QtWidgets.QGroupBox):  # type: ignore[misc]
    """Chooses a map and the options of a run; starts and stops it."""

    def __init__(self, call: Caller, parent: Any = None) -> None:
        super().__init__("Map", parent)
        self.call = call
        self.map = QtWidgets.QComboBox()
        self.open = QtWidgets.QPushButton("Load map …")
        self.open.setToolTip("Open a map, or reflections with map coefficients")
        self.engine = QtWidgets.QLabel()
        self.resolution = QtWidgets.QLineEdit()
        self.resolution.setPlaceholderText("Å, e.g. 2.8")
        self.contents = QtWidgets.QLineEdit()
        self.contents.setPlaceholderText("number, FASTA file or sequence; estimated if empty")
        self.browse = QtWidgets.QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip("Choose a FASTA file")
        self.region = QtWidgets.QComboBox()
        self.region.addItems([*REGIONS, _AROUND])
        self.selection = QtWidgets.QLineEdit("sele")
        self.selection.setEnabled(False)
        self.cycles = QtWidgets.QSpinBox()
        self.cycles.setRange(1, _MOST_CYCLES)
        self.device = QtWidgets.QComboBox()
        self.device.addItems(DEVICES)
        self.start = QtWidgets.QPushButton("Segment")
        self.build = QtWidgets.QPushButton("Build")
        self.build.setToolTip("Build and refine a model; the region is the asymmetric unit")
        self.stop = QtWidgets.QPushButton("Cancel")
        self.progress = QtWidgets.QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setFormat("")
        self._lay_out()
        self.open.clicked.connect(self._ask_map)
        self.map.currentTextChanged.connect(self._prefill)
        self.region.currentTextChanged.connect(self._follow_region)
        self.start.clicked.connect(self._start)
        self.build.clicked.connect(self._build)
        self.browse.clicked.connect(self._ask_file)
        self.stop.clicked.connect(lambda: self.call(edseg_cancel))
        self.resolution.returnPressed.connect(self._start)
        self.follow_maps()
        self.follow_run()

    def _lay_out(self) -> None:
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setVerticalSpacing(4)
        rows = (
            (("Map", _beside(self.map, self.open)), ("Resolution", self.resolution)),
            (("Residues", _beside(self.contents, self.browse)),),
            (("Region", self.region), ("Device", self.device)),
            (("Selection", self.selection), ("Cycles", self.cycles)),
        )
        for row, fields in enumerate(rows):
            for position, (title, widget) in enumerate(fields):
                grid.addWidget(QtWidgets.QLabel(title), row, 2 * position)
                grid.addWidget(widget, row, 2 * position + 1, 1, 1 if len(fields) == 2 else 3)
        buttons = QtWidgets.QHBoxLayout()
        buttons.addWidget(self.start)
        buttons.addWidget(self.build)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.progress, 1)
        grid.addLayout(buttons, len(rows), 0, 1, 4)
        grid.addWidget(self.engine, len(rows) + 1, 0, 1, 4)
        grid.setColumnStretch(1, 2)
        grid.setColumnStretch(3, 1)

    def follow_maps(self) -> None:
        """Offer the maps that are loaded now, and keep the choice."""
        names = [name for name in map_names(self.call.cmd) if not name.endswith("_density") or not self._own(name)]
        self._follow_region()
        if names == [self.map.itemText(i) for i in range(self.map.count())]:
            return
        chosen = self.map.currentText()
        self.map.blockSignals(True)
        self.map.clear()
        self.map.addItems(names)
        self.map.setCurrentIndex(names.index(chosen) if chosen in names else min(0, len(names) - 1))
        self.map.blockSignals(False)
        if self.map.currentText() != chosen:
            self._prefill(self.map.currentText())
        self.follow_run()

    def _own(self, name: str) -> bool:
        return name.removesuffix("_density") in state_of(self.call.cmd).results

    def _prefill(self, name: str) -> None:
        known = state_of(self.call.cmd).resolutions.find(self.call.cmd, name)
        self.resolution.setText("" if known is None else f"{known:g}")
        self._follow_region()

    def _follow_region(self) -> None:
        """Offer cycles where phases can be improved: of a whole crystal, if there may be amplitudes."""
        region = self.region.currentText()
        self.selection.setEnabled(region == _AROUND)
        source = state_of(self.call.cmd).resolutions.source(self.call.cmd, self.map.currentText())
        self.cycles.setEnabled(source is not None and region in ("auto", "asu"))
        if source is None:
            tip = "Improving the phases needs measured amplitudes: load a file that has them with Load map"
        elif not self.cycles.isEnabled():
            tip = "Phases are improved for whole crystals: choose the region auto or asu"
        else:
            tip = "Times that Segment reads the map at most: with the amplitudes of its file, what was found improves "
            tip += "poor phases for the next time"
        self.cycles.setToolTip(tip)

    def follow_run(self) -> None:
        """Show how far the run is."""
        run = state_of(self.call.cmd).run
        active = run is not None and run.active
        for button in (self.start, self.build):
            button.setEnabled(not active and self.map.count() > 0)
        self.stop.setEnabled(active)
        if run is not None and active:
            self.progress.setValue(round(1000 * run.status.fraction))
            left = run.seconds_left()
            self.progress.setFormat(f"{run.title} %p%" + ("" if left is None else f", {_spoken(left)} left"))
        else:
            self.progress.setValue(1000 if run is not None and run.status.state == "done" else 0)
            self.progress.setFormat("" if run is None else run.status.state)
            self._tell_engine()

    def _tell_engine(self) -> None:
        """Say which engine there is."""
        try:
            engine = find_engine(preference)
        except EngineError as error:
            self.engine.setText("No engine")
            self.engine.setToolTip(str(error))
        else:
            self.engine.setText(f"Engine: {engine.source}")
            self.engine.setToolTip(" ".join(engine.command))

    def _ask_map(self) -> None:
        forms = "Maps and reflections (*.mtz *.cif *.ccp4 *.map *.mrc *.mtz.gz *.cif.gz);;All files (*)"
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Map", "", forms)
        if path:
            self.call(edseg_load_map, path)
            self.follow_maps()

    def _ask_file(self) -> None:
        forms = "Sequences (*.fasta *.fa *.faa *.seq *.pir *.txt);;All files (*)"
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Sequence of the protein", "", forms)
        if path:
            self.contents.setText(path)

    def _start(self) -> None:
        options = self._contents()
        if self.region.currentText() == _AROUND:
            options["selection"] = self.selection.text()
        elif self.region.currentText() != "auto":
            options["region"] = self.region.currentText()
        if self.cycles.isEnabled() and self.cycles.value() > 1:
            options["cycles"] = self.cycles.value()
        self._call(edseg_segment, options)

    def _build(self) -> None:
        self._call(edseg_build, self._contents())

    def _contents(self) -> dict[str, Any]:
        contents = self.contents.text().strip()
        if not contents:
            return {}
        return {"residues": contents} if contents.isdigit() else {"sequence": contents}

    def _call(self, command: Callable[..., Any], options: dict[str, Any]) -> None:
        if self.device.currentText() != "auto":
            options["device"] = self.device.currentText()
        resolution = self.resolution.text().strip().replace(",", ".")
        self.call(command, self.map.currentText(), resolution, **options, async_=1)
        self.follow_run()
