"""The table of proposals: a model of rows, a filter, and bars that show probabilities."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtGui, QtWidgets

from pymol_edseg.journal import ACCEPTED, REJECTED, Decision
from pymol_edseg.palette import COLORS, class_of
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result

Qt = QtCore.Qt

COLUMNS = ("id", "rank 1", "rank 2", "rank 3", "conf.", "status")
#: Roles: what to sort by, and (fraction, colour) of a bar.
SORT, BAR = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
_STATUS_COLORS = {ACCEPTED: "#009E73", REJECTED: "#9A9A9A"}


class ProposalModel(QtCore.QAbstractTableModel):  # type: ignore[misc]
    """The proposals of one result, a row each."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.proposals: tuple[Proposal, ...] = ()
        self.decisions: dict[int, Decision] = {}

    def show(self, result: Result | None) -> None:
        """Show another result."""
        self.beginResetModel()
        self.proposals = result.proposals if result else ()
        self.decisions = result.decisions() if result else {}
        self.endResetModel()

    def update_decisions(self, result: Result) -> None:
        """Show what was decided meanwhile."""
        self.decisions = result.decisions()
        if self.proposals:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.proposals) - 1, len(COLUMNS) - 1))

    def rowCount(self, parent: Any = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.proposals)

    def columnCount(self, parent: Any = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        proposal = self.proposals[index.row()]
        decision, column = self.decisions[proposal.id], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(proposal, decision, column)
        if role == SORT:
            return self._sort_value(proposal, decision, column)
        if role == BAR and 1 <= column <= 4:
            if column == 4:
                return proposal.confidence, "#9A9A9A"
            label, probability = proposal.ranks[column - 1]
            return probability, COLORS[label]
        if role == Qt.ItemDataRole.ForegroundRole and decision.status in _STATUS_COLORS and column in (0, 5):
            return QtGui.QBrush(QtGui.QColor(_STATUS_COLORS[decision.status]))
        return None

    @staticmethod
    def _text(proposal: Proposal, decision: Decision, column: int) -> str:
        if column == 0:
            return str(proposal.id)
        if column <= 3:
            label, probability = proposal.ranks[column - 1]
            return f"{label} {100 * probability:.0f}"
        if column == 4:
            return f"{100 * proposal.confidence:.0f} %"
        return f"{decision.status} {decision.identity}" if decision.identity else decision.status

    @staticmethod
    def _sort_value(proposal: Proposal, decision: Decision, column: int) -> Any:
        if column == 0:
            return proposal.id
        if column <= 3:
            label, probability = proposal.ranks[column - 1]
            return f"{label} {1 - probability:.4f}"
        return proposal.confidence if column == 4 else decision.status


class ProposalFilter(QtCore.QSortFilterProxyModel):  # type: ignore[misc]
    """Sorts, and hides what is of another class, of another status or less sure than wanted."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.label, self.status, self.least = "", "", 0.0
        self.setSortRole(SORT)
        self.setDynamicSortFilter(True)

    def choose(self, label: str, status: str, least: float) -> None:
        """Show only a class (or all: ""), a status (or all: "") and a least confidence."""
        self.label, self.status, self.least = label, status, least
        self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: Any) -> bool:
        model: ProposalModel = self.sourceModel()
        proposal = model.proposals[row]
        decision = model.decisions[proposal.id]
        label = class_of(decision.identity) if decision.identity else proposal.label
        return self.label in ("", label) and self.status in ("", decision.status) and proposal.confidence >= self.least


class BarDelegate(QtWidgets.QStyledItemDelegate):  # type: ignore[misc]
    """Draws a probability as a bar below its text."""

    def paint(self, painter: Any, option: Any, index: Any) -> None:
        bar = index.data(BAR)
        super().paint(painter, option, index)
        if bar is None:
            return
        fraction, color = bar
        area = option.rect.adjusted(2, option.rect.height() - 5, -2, -2)
        painter.save()
        painter.fillRect(area, QtGui.QColor(128, 128, 128, 60))
        area.setWidth(max(1, round(area.width() * fraction)))
        painter.fillRect(area, QtGui.QColor(color))
        painter.restore()
