"""What is decided about many proposals at once: by confidence, and by what a partial model lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pymol.Qt import QtWidgets

from pymol_edseg.commands.check import edseg_check, edseg_doubts
from pymol_edseg.commands.decide import edseg_accept, edseg_reject
from pymol_edseg.commands.walk import edseg_complete
from pymol_edseg.panel.call import Caller
from pymol_edseg.state import Result, state_of

#: What is listed: all proposals, what is doubtful of them, what a model lacks, or what disagrees in it.
_ALL, _DOUBTS, _LACKS, _DISAGREES = "all proposals", "doubtful proposals", "what is missing in ", "what disagrees in "


def per_cent(prefix: str, value: int) -> Any:
    """Return a field for a number of per cent."""
    field = QtWidgets.QSpinBox()
    field.setRange(0, 100)
    field.setPrefix(prefix)
    field.setSuffix(" %")
    field.setValue(value)
    return field


class BatchBox(QtWidgets.QWidget):  # type: ignore[misc]
    """Buttons that accept or reject many, and the choice of what is listed."""

    def __init__(self, call: Caller, parent: Any = None) -> None:
        super().__init__(parent)
        self.call = call
        self.result: Result | None = None
        self.sure, self.unsure = per_cent("≥ ", 80), per_cent("< ", 20)
        #: The model whose check is under way, to list what disagrees.
        self._awaited = ""
        self.listed = QtWidgets.QComboBox()
        self.listed.addItems([_ALL, _DOUBTS])
        self.listed.setToolTip("What disagrees in a model is known after a run of the network")
        self.listed.activated.connect(lambda _: self._list(self.listed.currentText()))
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
            (QtWidgets.QLabel("Listed"), self.listed, gaps),
        ):
            row = QtWidgets.QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget, 1 if widget is self.listed else 0)
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
        """Offer the models that there are now."""
        texts = [_ALL, _DOUBTS, *(of + name for of in (_LACKS, _DISAGREES) for name in models)]
        if texts != [self.listed.itemText(i) for i in range(self.listed.count())]:
            self.listed.clear()
            self.listed.addItems(texts)
            self._show_completion()

    def follow_check(self) -> None:
        """List what disagrees in the model that was chosen, if its check has just ended."""
        model, self._awaited = self._awaited, ""
        if model in state_of(self.call.cmd).checks:
            self._call(edseg_doubts, model)
        self._show_completion()

    def _show_completion(self) -> None:
        completion = self.result.completion if self.result else None
        text = _ALL
        if completion:
            text = (_DISAGREES if completion.doubts else _LACKS) + completion.model if completion.model else _DOUBTS
        self.listed.setCurrentText(_DISAGREES + self._awaited if self._awaited else text)
        self.buttons["Accept gaps"].setEnabled(bool(completion and completion.slots))

    def _list(self, text: str) -> None:
        model = text.removeprefix(_LACKS).removeprefix(_DISAGREES)
        if text == _DOUBTS:
            self._call(edseg_doubts)
        elif not text.startswith(_DISAGREES):
            self._call(edseg_complete, "none" if text == _ALL else model)
        elif model in state_of(self.call.cmd).checks:
            self._call(edseg_doubts, model)
        elif self.result is not None:
            density = self.result.map.name if self.result.map else ""
            self._awaited = model if self.call(edseg_check, model, density, async_=1) is not None else ""
        self._show_completion()

    def _call(self, command: Callable[..., Any], *words: str) -> None:
        if self.result is not None:
            self.call(command, *words, name=self.result.name)

    def _accept_sure(self) -> None:
        self._decide(edseg_accept, "all", min_confidence=self.sure.value())

    def _reject_unsure(self) -> None:
        self._decide(edseg_reject, "all", below=self.unsure.value())

    def _decide(self, command: Callable[..., Any], ids: str, **limit: Any) -> None:
        if self.result is not None:
            self.call(command, ids, **limit, name=self.result.name)
