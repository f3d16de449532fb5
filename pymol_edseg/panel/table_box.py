"""The middle part of the panel: the proposals, to look at one after the other and to decide about."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pymol.Qt import QtCore, QtGui, QtWidgets

from pymol_edseg.commands.decide import edseg_accept, edseg_comment, edseg_reject, edseg_relabel
from pymol_edseg.commands.history import edseg_redo, edseg_undo
from pymol_edseg.commands.walk import edseg_goto, edseg_overview
from pymol_edseg.journal import STATUSES, UNDECIDED
from pymol_edseg.palette import LABELS
from pymol_edseg.panel.batch_box import BatchBox, per_cent
from pymol_edseg.panel.call import Caller
from pymol_edseg.panel.table import CHAIN, CONFIDENCE, BarDelegate, ProposalFilter, ProposalModel
from pymol_edseg.state import Result

Qt = QtCore.Qt
_RESIDUES = sorted({name for label in LABELS for name in label.split("/")})


#: Orders of the rows, by column and direction.
_ORDERS = {
    "as found": (0, Qt.SortOrder.AscendingOrder),
    "surest first": (CONFIDENCE, Qt.SortOrder.DescendingOrder),
    "least sure first": (CONFIDENCE, Qt.SortOrder.AscendingOrder),
    "along the chain": (CHAIN, Qt.SortOrder.AscendingOrder),
}


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
        self.least = per_cent("≥ ", 0)
        self.least.setToolTip("Show only proposals of at least this confidence")
        self.view = QtWidgets.QTableView()
        self.order = QtWidgets.QComboBox()
        self.order.addItems(list(_ORDERS))
        self.order.setToolTip("The order in which space and the arrow keys go on")
        self.batch = BatchBox(call)
        self.buttons: dict[str, Any] = {}
        #: What keys do, here and in the viewer: with and without shift.
        self.keys: dict[str, Callable[[], Any]] = {}
        self._lay_out()
        for signal in (self.label.currentIndexChanged, self.status.currentIndexChanged, self.least.valueChanged):
            signal.connect(self._filter)
        self.order.currentTextChanged.connect(lambda text: self.view.sortByColumn(*_ORDERS[text]))
        self.view.selectionModel().currentRowChanged.connect(self._go)
        self.batch.listed.activated.connect(lambda _: self.view.setFocus())  # for the keys
        self._quiet = False
        #: While a row is being chosen, it must not be scrolled away from below the mouse.
        self.going = False

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
        view.horizontalHeader().setDefaultSectionSize(view.fontMetrics().boundingRect("accepted").width() + 8)
        view.horizontalHeader().setStretchLastSection(True)
        for column, text in enumerate(("2000", "ASP/ASN 100", *2 * ("ASP/ASN 50",), "100 %", "chain +")):
            view.setColumnWidth(column, view.fontMetrics().boundingRect(text).width() + 10)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setMinimumHeight(140)
        filters = QtWidgets.QHBoxLayout()
        for widget in (self.label, self.status, self.least, self.order):
            filters.addWidget(widget)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(filters)
        layout.addWidget(view, 1)
        layout.addLayout(self._decide_row())
        layout.addWidget(self.batch)
        self._add_keys()

    def _decide_row(self) -> Any:
        row = QtWidgets.QHBoxLayout()
        actions: tuple[tuple[str, str, Callable[[], Any]], ...] = (
            ("Accept", "A", self.accept),
            ("Reject", "R", self.reject),
            ("Comment", "C", self.comment),
            ("Overview", "O", self.overview),
            ("Undo", "U", lambda: self._of_result(edseg_undo)),
            ("Redo", "Y", lambda: self._of_result(edseg_redo)),
        )
        for text, key, action in actions:
            self.buttons[text] = button = QtWidgets.QPushButton(text)
            button.setToolTip(f"Key {key}")
            button.clicked.connect(lambda _=False, action=action: action())
            self.keys[key] = action
            row.addWidget(button)
        row.insertWidget(2, self._relabel_button())
        for button in self.buttons.values():  # all seven in the width of the panel
            button.setMinimumWidth(button.fontMetrics().boundingRect(button.text()).width() + 12)
        return row

    def _add_keys(self) -> None:
        for rank in (1, 2, 3):
            self.keys[str(rank)] = functools.partial(self._relabel_to_rank, rank)
        for keys, step, undecided in (
            (("Space",), 1, True),
            (("Shift+Space",), -1, True),
            (("Down", "Right"), 1, False),
            (("Up", "Left"), -1, False),
        ):
            for key in keys:
                self.keys[key] = functools.partial(self.step, step, undecided)
        for key, action in self.keys.items():
            self._key(key, action)

    def _relabel_button(self) -> Any:
        button = QtWidgets.QPushButton("Relabel")
        button.setToolTip("Keys 1, 2, 3: the class of that rank")
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
        self.batch.show_result(result)

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
        self._decide(edseg_accept, go_on=True)

    def reject(self) -> None:
        self._decide(edseg_reject, go_on=True)

    def comment(self) -> None:
        """Ask for a comment on the selected proposals."""
        ids = self.ids()
        if self.result is None or not ids:
            return
        before = self.result.decisions()[ids[0]].comment or ""
        text, given = QtWidgets.QInputDialog.getText(self, "Comment", "Comment on the selected residues:", text=before)
        if given:
            self._decide(edseg_comment, text=text)

    def overview(self) -> None:
        self._of_result(edseg_overview)

    def step(self, step: int, undecided: bool) -> None:
        """Go to the next row, or the one before, or to the next that is undecided, round and round."""
        current = self.view.currentIndex()
        self._go_on(current.row() if current.isValid() else (-1 if step > 0 else 0), step, undecided)

    def _go_on(self, row: int, step: int, undecided: bool) -> None:
        rows = self.filter.rowCount()
        for away in range(1, rows + 1):
            there = (row + step * away) % rows
            number = self._number(there)
            if not undecided or self.model.decisions[number].status == UNDECIDED:
                self._select_row(there)
                return

    def _select_row(self, row: int) -> None:
        """Make a row the only one selected, whatever modifiers are held."""
        flags = QtCore.QItemSelectionModel.SelectionFlag
        index = self.filter.index(row, 0)
        self.view.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.view.scrollTo(index)

    def _number(self, row: int) -> int:
        return self.model.proposals[self.filter.mapToSource(self.filter.index(row, 0)).row()].id

    def relabel(self, name: str) -> None:
        self._decide(edseg_relabel, as_=name)

    def _relabel_to_rank(self, rank: int) -> None:
        for proposal in self.model.proposals:
            if self.ids() == [proposal.id]:
                self.relabel(proposal.ranks[rank - 1][0])
                return

    def _decide(self, command: Callable[..., Any], go_on: bool = False, **options: Any) -> None:
        ids = self.ids()
        if self.result is None or not ids:
            return
        here = self.view.currentIndex().row()
        done = self.call(command, "+".join(map(str, ids)), **options, name=self.result.name)
        if done is None:
            return
        if self.ids() != ids and self.filter.rowCount():
            # The filter has taken the decided ones away: the next one is in their place.
            here = min(here, self.filter.rowCount()) - 1
        if go_on and len(ids) == 1:
            self._go_on(here, 1, undecided=True)
        elif not self.ids() and self.filter.rowCount():
            self._select_row(max(here, 0))

    def _of_result(self, command: Callable[..., Any]) -> None:
        if self.result is not None:
            ids = self.call(command, name=self.result.name)
            if isinstance(ids, tuple) and ids:
                self.select(list(ids))

    def _filter(self) -> None:
        label = self.label.currentText() if self.label.currentIndex() else ""
        status = self.status.currentText() if self.status.currentIndex() else ""
        self.filter.choose(label, status, self.least.value() / 100)

    def _go(self, index: Any, _: Any = None) -> None:
        if self.result is not None and index.isValid() and not self._quiet:
            number = self.model.proposals[self.filter.mapToSource(index).row()].id
            self.going = True
            try:
                self.call(edseg_goto, number, name=self.result.name, echo=False)
            finally:
                self.going = False
            if self.result.completion:
                self.call.say(self.result.completion.doubts.get(number, ""))
