"""The middle part of the panel: the proposals, to look at one after the other and to decide about."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pymol.Qt import QtCore, QtGui, QtWidgets

from pymol_edseg.commands.decide import edseg_accept, edseg_redo, edseg_reject, edseg_relabel, edseg_undo
from pymol_edseg.commands.view import edseg_goto
from pymol_edseg.journal import STATUSES
from pymol_edseg.palette import LABELS
from pymol_edseg.panel.call import Caller
from pymol_edseg.panel.table import BarDelegate, ProposalFilter, ProposalModel
from pymol_edseg.state import Result

Qt = QtCore.Qt
_RESIDUES = sorted({name for label in LABELS for name in label.split("/")})


class TableBox(QtWidgets.QGroupBox):  # type: ignore[misc]
    """The table of one result with its filters and buttons."""

    def __init__(self, call: Caller, parent: Any = None) -> None:
        super().__init__("Proposals", parent)
        self.call = call
        self.result: Result | None = None
        self.model = ProposalModel(self)
        self.filter = ProposalFilter(self)
        self.filter.setSourceModel(self.model)
        self.label = QtWidgets.QComboBox()
        self.label.addItems(["all classes", *LABELS])
        self.status = QtWidgets.QComboBox()
        self.status.addItems(["any status", *STATUSES])
        self.least = QtWidgets.QSpinBox()
        self.least.setRange(0, 100)
        self.least.setPrefix("at least ")
        self.least.setSuffix(" %")
        self.view = QtWidgets.QTableView()
        self.buttons: dict[str, Any] = {}
        self._lay_out()
        for signal in (self.label.currentIndexChanged, self.status.currentIndexChanged, self.least.valueChanged):
            signal.connect(self._filter)
        self.view.selectionModel().currentRowChanged.connect(self._go)
        self._quiet = False

    def _lay_out(self) -> None:
        view = self.view
        view.setModel(self.filter)
        view.setItemDelegate(BarDelegate(view))
        view.setSortingEnabled(True)
        view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        view.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.ExtendedSelection)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(22)
        view.horizontalHeader().setStretchLastSection(True)
        for column, text in enumerate(("2000", *3 * ("ASP/ASN 100",), "100 %")):
            view.setColumnWidth(column, view.fontMetrics().boundingRect(text).width() + 14)
        view.setMinimumHeight(140)
        filters = QtWidgets.QHBoxLayout()
        for widget in (self.label, self.status, self.least):
            filters.addWidget(widget)
        row = QtWidgets.QHBoxLayout()
        actions: tuple[tuple[str, str, Callable[[], Any]], ...] = (
            ("Accept", "A", self.accept),
            ("Reject", "R", self.reject),
            ("Undo", "U", lambda: self._of_result(edseg_undo)),
            ("Redo", "Y", lambda: self._of_result(edseg_redo)),
        )
        for text, key, action in actions:
            self.buttons[text] = button = QtWidgets.QPushButton(text)
            button.setToolTip(f"Key {key} in the table")
            button.clicked.connect(lambda _=False, action=action: action())
            self._key(key, action)
            row.addWidget(button)
        for rank in (1, 2, 3):
            self._key(str(rank), functools.partial(self._relabel_to_rank, rank))
        row.insertWidget(2, self._relabel_button())
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(filters)
        layout.addWidget(view, 1)
        layout.addLayout(row)

    def _relabel_button(self) -> Any:
        button = QtWidgets.QPushButton("Relabel")
        button.setToolTip("Keys 1, 2, 3 in the table: the class of that rank")
        menu = QtWidgets.QMenu(button)
        for name in _RESIDUES:
            menu.addAction(name).triggered.connect(lambda _=False, name=name: self.relabel(name))
        button.setMenu(menu)
        self.buttons["Relabel"] = button
        return button

    def _key(self, key: str, action: Callable[[], Any]) -> None:
        shortcut = QtWidgets.QShortcut if hasattr(QtWidgets, "QShortcut") else QtGui.QShortcut
        shortcut(QtGui.QKeySequence(key), self.view, activated=action, context=Qt.ShortcutContext.WidgetShortcut)

    def show_result(self, result: Result | None) -> None:
        """Show the proposals of a result."""
        self.result = result
        self.model.show(result)
        self.setTitle(f"Proposals of {result.name}" if result else "Proposals")
        for button in self.buttons.values():
            button.setEnabled(result is not None)

    def follow_decisions(self) -> None:
        """Show what was decided meanwhile."""
        if self.result is not None:
            self.model.update_decisions(self.result)

    def ids(self) -> list[int]:
        """Return the ids of the selected rows."""
        rows = self.view.selectionModel().selectedRows()
        return sorted(self.model.proposals[self.filter.mapToSource(row).row()].id for row in rows)

    def select(self, ids: list[int]) -> None:
        """Select the rows of some proposals, without moving the view of the molecule."""
        rows = [i for i, proposal in enumerate(self.model.proposals) if proposal.id in set(ids)]
        indexes = [self.filter.mapFromSource(self.model.index(row, 0)) for row in rows]
        indexes = [index for index in indexes if index.isValid()]
        flags = QtCore.QItemSelectionModel.SelectionFlag
        self._quiet = True
        try:
            self.view.clearSelection()
            for index in indexes:
                self.view.selectionModel().select(index, flags.Select | flags.Rows)
            if indexes:
                self.view.selectionModel().setCurrentIndex(indexes[0], flags.NoUpdate)
                self.view.scrollTo(indexes[0])
        finally:
            self._quiet = False

    def accept(self) -> None:
        self._decide(edseg_accept)

    def reject(self) -> None:
        self._decide(edseg_reject)

    def relabel(self, name: str) -> None:
        self._decide(edseg_relabel, as_=name)

    def _relabel_to_rank(self, rank: int) -> None:
        for proposal in self.model.proposals:
            if self.ids() == [proposal.id]:
                self.relabel(proposal.ranks[rank - 1][0])
                return

    def _decide(self, command: Callable[..., Any], **options: Any) -> None:
        ids = self.ids()
        if self.result is not None and ids:
            here = self.view.currentIndex().row()
            self.call(command, "+".join(map(str, ids)), **options, name=self.result.name)
            self._keep_row(here)

    def _keep_row(self, row: int) -> None:
        """Select the row at the same place if the filter has taken the decided ones away."""
        if not self.ids() and self.filter.rowCount():
            self.view.selectRow(min(row, self.filter.rowCount() - 1))

    def _of_result(self, command: Callable[..., Any]) -> None:
        if self.result is not None:
            ids = self.call(command, name=self.result.name)
            if ids:
                self.select(list(ids))

    def _filter(self) -> None:
        label = self.label.currentText() if self.label.currentIndex() else ""
        status = self.status.currentText() if self.status.currentIndex() else ""
        self.filter.choose(label, status, self.least.value() / 100)

    def _go(self, index: Any, _: Any = None) -> None:
        if self.result is not None and index.isValid() and not self._quiet:
            number = self.model.proposals[self.filter.mapToSource(index).row()].id
            self.call(edseg_goto, number, name=self.result.name, echo=False)
