"""``python -m edseg_engine`` is the command ``edseg``."""

import sys

from edseg_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
