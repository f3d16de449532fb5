"""What tests share: the real crystal that ships with the repository."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import gemmi
import pytest

from edseg_engine.dataset.labelled import KnownResidues, known_residues
from edseg_engine.maps import DensityMap
from edseg_engine.read import read_map

DATA = Path(__file__).parent / "data"
#: PDB entry 1AZ5: 2.0 Å, P 32 2 1, 95 residues.
CRYSTAL = DATA / "1az5"


@pytest.fixture(scope="session")
def crystal_map() -> DensityMap:
    return read_map(CRYSTAL / "data.mtz.gz")


@pytest.fixture(scope="session")
def crystal_model() -> gemmi.Structure:
    return gemmi.read_structure(str(CRYSTAL / "model.cif.gz"))


@pytest.fixture(scope="session")
def crystal_residues(crystal_model: gemmi.Structure) -> KnownResidues:
    return known_residues(crystal_model[0])
