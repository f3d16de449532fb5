"""How the panel uses the commands: each click is a command line, shown in the log, and an error is a line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymol import CmdException

from pymol_edseg.console import complain


class Caller:
    """Calls commands and passes their errors to `show_message`."""

    def __init__(self, cmd: Any, show_message: Callable[[str, bool], None]) -> None:
        self.cmd = cmd
        self._show = show_message

    def __call__(self, command: Callable[..., Any], *args: object, echo: bool = True, **kwargs: object) -> Any:
        """Call a command; return its value, or None after an error."""
        if echo:
            words = [*map(str, args), *(f"{key.rstrip('_')}={value}" for key, value in kwargs.items())]
            line = f"{command.__name__} {', '.join(words)}".rstrip()
            print(f"PyMOL>{line}")
            self.cmd.log(f"{line}\n")
        try:
            value = command(*args, **kwargs, quiet=0 if echo else 1, _self=self.cmd)
        except CmdException as error:
            message = getattr(error, "message", "") or str(error).strip()
            complain(message)
            self._show(message, True)
            return None
        self._show("", False)
        return value

    def say(self, text: str) -> None:
        """Show a line of text in the panel."""
        self._show(text, False)
