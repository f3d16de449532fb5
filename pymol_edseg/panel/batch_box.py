"""What is decided about many proposals at once: by confidence, and by what a partial model lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pymol.Qt import QtWidgets

from pymol_edseg.commands.decide import edseg_accept, edseg_reject
from pymol_edseg.commands.walk import edseg_complete
from pymol_edseg.panel.call import Caller
from pymol_edseg.state import Result

#: What is listed: all proposals, or only what a model lacks.
_ALL, _LACKS = "all proposals", "what is missing in "


def per_cent(prefix: str, value: int) -> Any:
    """Return a field for a number of per cent."""
    field = QtWidgets.QSpinBox()
    field.setRange(0, 100)
    field.setPrefix(prefix)
    field.setSuffix(" %")
    field.setValue(value)
    return field


class BatchBox(QtWidgets.QWidget):  # type: ignore[misc]
    """Buttons that accept or reject many, and the choice of a model to complete."""

    def __init__(self, call: Caller, parent: Any = None) -> None:
        super().__init__(parent)
        self.call = call
        self.result: Result | None = None
        self.sure, self.unsure = per_cent("≥ ", 80), per_cent("< ", 20)
        self.partial = QtWidgets.QComboBox()
        self.partial.addItem(_ALL)
        self.partial.setToolTip("Choose a partial model: only what it lacks is listed")
        self.partial.activated.connect(lambda _: self._complete(self.partial.currentText()))
        self.buttons: dict[str, Any] = {}
        sure = self._button("Accept all", self._accept_sure, "Those that are undecided and of this confidence")
        unsure = self._button("Reject all", self._reject_unsure, "Those that are undecided and of this confidence")
        tip = "Accept what follows in the chain on what the model has, under the numbers that are free"
        gaps = self._button("Accept gaps", lambda: self._decide(edseg_accept, "gaps"), tip)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widgets in (
            (sure, self.sure, unsure, self.unsure),
            (QtWidgets.QLabel("Listed"), self.partial, gaps),
        ):
            row = QtWidgets.QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget, 1 if widget is self.partial else 0)
            layout.addLayout(row)

    def _button(self, text: str, action: Callable[[], Any], tip: str) -> Any:
        self.buttons[text] = button = QtWidgets.QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(lambda _=False: action())
        return button

    def show_result(self, result: Result | None) -> None:
        """Take the proposals of a result."""
        self.result = result
        for button in self.buttons.values():
            button.setEnabled(result is not None)
        self._show_completion()

    def follow_models(self, models: Sequence[str]) -> None:
        """Offer the models that there are now, to be completed."""
        texts = [_ALL, *(_LACKS + name for name in models)]
        if texts != [self.partial.itemText(i) for i in range(self.partial.count())]:
            self.partial.clear()
            self.partial.addItems(texts)
            self._show_completion()

    def _show_completion(self) -> None:
        completion = self.result.completion if self.result else None
        self.partial.setCurrentText(_LACKS + completion.model if completion else _ALL)
        self.buttons["Accept gaps"].setEnabled(bool(completion and completion.slots))

    def _complete(self, text: str) -> None:
        if self.result is not None:
            model = "none" if text == _ALL else text.removeprefix(_LACKS)
            self.call(edseg_complete, model, name=self.result.name)
        self._show_completion()

    def _accept_sure(self) -> None:
        self._decide(edseg_accept, "all", min_confidence=self.sure.value())

    def _reject_unsure(self) -> None:
        self._decide(edseg_reject, "all", below=self.unsure.value())

    def _decide(self, command: Callable[..., Any], ids: str, **limit: Any) -> None:
        if self.result is not None:
            self.call(command, ids, **limit, name=self.result.name)
