"""What tests share: the real crystal that ships with the repository."""

from __future__ import annotations

import os
import sys

# Workers of pytest-xdist share the cores already.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

import gemmi
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.io.read import read_map
from edseg_engine.residues.known import KnownResidues, known_residues
from places import MODEL, MTZ

#: Files that take longest. Workers get whole files, in this order, so that none is left alone with one at the end.
LONGEST = (
    "test_pymol_window.py",
    "test_pymol_end_to_end.py",
    "test_pymol_failures.py",
    "test_pipeline.py",
)

_EXIT_STATUS = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def crystal_map() -> DensityMap:
    return read_map(MTZ)


@pytest.fixture(scope="session")
def crystal_model() -> gemmi.Structure:
    return gemmi.read_structure(str(MODEL))


@pytest.fixture(scope="session")
def crystal_residues(crystal_model: gemmi.Structure) -> KnownResidues:
    return known_residues(crystal_model[0])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave with pytest's own exit status: PyMOL, once launched, ends the interpreter with 0 whatever failed."""
    status = config.stash.get(_EXIT_STATUS, 0)
    if status and not hasattr(config, "workerinput"):  # workers of pytest-xdist report by themselves
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
