"""Packages that only some commands need, as extras of the installation."""

from __future__ import annotations

from edseg_engine.errors import DependencyError

#: How to install edseg with an extra. edseg is in no package index; once it is, this is what changes in messages.
_INSTALL = "pip install '.[{extra}]' in a checkout of edseg, or pip install 'edseg-VERSION-py3-none-any.whl[{extra}]'"


def missing_extra(package: str, extra: str) -> DependencyError:
    """Return the error for a `package` that is not installed and comes with an `extra`."""
    return DependencyError(f"This needs {package}, which is not installed: {_INSTALL.format(extra=extra)}.")
