"""The table of proposals: a model of rows, a filter, and bars that show probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymol.Qt import QtCore, QtGui, QtWidgets

from pymol_edseg.journal import ACCEPTED, REJECTED, UNDECIDED, Decision
from pymol_edseg.label_format import LEAST
from pymol_edseg.ordering import order_of
from pymol_edseg.palette import COLORS, class_of
from pymol_edseg.proposals import Proposal
from pymol_edseg.state import Result

Qt = QtCore.Qt

COLUMNS = ("id", "rank 1", "rank 2", "rank 3", "conf.", "chain", "status")
CONFIDENCE, CHAIN, STATUS = 4, 5, 6
#: Roles: what to sort by, and (fraction, colour) of a bar.
SORT, BAR = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
_STATUS_COLORS = {ACCEPTED: "#009E73", REJECTED: "#9A9A9A"}


class ProposalModel(QtCore.QAbstractTableModel):  # type: ignore[misc]
    """The proposals of one result, a row each."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.proposals: tuple[Proposal, ...] = ()
        self.decisions: dict[int, Decision] = {}
        self.listed: Callable[[int], bool] = _all
        #: Stretch of chain and place in it, and the place in the order along all chains.
        self.places: dict[int, tuple[str, int]] = {}

    def show(self, result: Result | None) -> None:
        """Show another result."""
        self.beginResetModel()
        self.proposals = result.proposals if result else ()
        self.decisions = result.decisions() if result else {}
        self.listed = result.is_listed if result else _all
        self.places = _places(result) if result else {}
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
        if role == Qt.ItemDataRole.ToolTipRole:
            return decision.comment or None
        if role == BAR and 1 <= column <= CONFIDENCE:
            if column == CONFIDENCE:
                return proposal.confidence, "#9A9A9A"
            label, probability = proposal.ranks[column - 1]
            return probability, COLORS[label]
        if role == Qt.ItemDataRole.ForegroundRole and decision.status in _STATUS_COLORS and column in (0, STATUS):
            return QtGui.QBrush(QtGui.QColor(_STATUS_COLORS[decision.status]))
        return None

    def _text(self, proposal: Proposal, decision: Decision, column: int) -> str:
        if column == 0:
            return str(proposal.id)
        if column < CONFIDENCE:
            label, probability = proposal.ranks[column - 1]
            return f"{label} {100 * probability:.0f}" if column == 1 or probability >= LEAST else ""
        if column == CONFIDENCE:
            return f"{100 * proposal.confidence:.0f} %"
        if column == CHAIN:
            return self.places[proposal.id][0]
        # What is undecided needs no word.
        words = (decision.identity, "*" if decision.comment else "", decision.status.replace(UNDECIDED, ""))
        return " ".join(filter(None, words))

    def _sort_value(self, proposal: Proposal, decision: Decision, column: int) -> Any:
        if column == 0:
            return proposal.id
        if column < CONFIDENCE:
            label, probability = proposal.ranks[column - 1]
            return f"{label} {1 - probability:.4f}"
        if column == CONFIDENCE:
            return proposal.confidence
        return self.places[proposal.id][1] if column == CHAIN else decision.status


def _all(_: int) -> bool:
    return True


def _places(result: Result) -> dict[int, tuple[str, int]]:
    """Return the stretch of each proposal and its place there ("2.15"), and its place in the order along the chains."""
    home = {
        number: f"{i}.{place}"
        for i, stretch in enumerate(sorted(result.stretches, key=len, reverse=True), 1)
        for place, number in enumerate(stretch, 1)
        if len(stretch) > 1
    }
    if result.completion:
        home |= {number: f"{chain} {i}" for number, (chain, i) in result.completion.slots.items()}
    return {number: (home.get(number, ""), i) for i, number in enumerate(order_of(result, "chain"))}


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
        if not model.listed(proposal.id):
            return False
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
