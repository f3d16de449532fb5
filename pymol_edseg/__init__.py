# Version: 0.1.0
# Author: the authors of edseg
# Citation-Required: No

"""
edseg: locate and label the residues of an electron density map, without model and sequence.

The plugin hands a map of PyMOL over to the engine of edseg, which runs in a Python of its own, shows where the residues
are and what they are, and keeps what the user decides about them. Type "help edseg_segment", or open Plugin > edseg.
"""

from __future__ import annotations

import sys
from typing import Any

__version__ = "0.1.0"

# PyMOL's plugin manager imports the package below a package of its own; its modules know each other by this name.
sys.modules["pymol_edseg"] = sys.modules[__name__]


def __init_plugin__(app: Any = None) -> None:
    """Register the commands; with a window, add the menu entry."""
    from pymol_edseg.register import add_menu, register

    register()
    add_menu()
