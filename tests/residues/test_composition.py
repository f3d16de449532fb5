"""The warning of labels that no protein has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edseg_engine.labels import LABELS, N_LABELS
from edseg_engine.residues.composition import (
    FEWEST,
    SHARES,
    composition_warning,
    distance_from_proteins,
    highest_confidence,
)
from edseg_engine.residues.known import KnownResidues


def test_shares_are_those_of_all_labels() -> None:
    assert len(SHARES) == N_LABELS
    assert sum(SHARES) == pytest.approx(1.0, abs=0.002)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(FEWEST, 3000))
def test_a_protein_of_any_size_is_no_cause_for_a_warning(seed: int, n: int) -> None:
    shares = np.array(SHARES) / sum(SHARES)
    labels = np.random.default_rng(seed).choice(N_LABELS, n, p=shares)
    assert abs(distance_from_proteins(labels)) < 0.4
    assert composition_warning(labels) is None
    assert (highest_confidence(labels) == 1).all()


def test_a_real_protein_is_near_the_shares(crystal_residues: KnownResidues) -> None:
    assert distance_from_proteins(crystal_residues.labels) < 0.3
    assert composition_warning(crystal_residues.labels) is None


def test_labels_of_two_kinds_only_are_doubted() -> None:
    labels = np.array([LABELS.index("ALA")] * 35 + [LABELS.index("VAL/THR")] * 46 + list(range(13)))
    warning = composition_warning(labels)
    assert warning is not None
    assert warning.startswith("88% of the residues are labelled VAL/THR or ALA")
    # No more of those called ALA are right than a protein of that size has; of the rare labels all may be right.
    highest = highest_confidence(labels)
    assert highest[labels == 0].sum() == pytest.approx(SHARES[0] * len(labels))
    assert (highest[(labels != 0) & (labels != LABELS.index("VAL/THR"))] == 1).all()
    # Few residues can be of any kind: a peptide, or a small box.
    assert composition_warning(np.zeros(FEWEST - 1, int)) is None
    assert composition_warning(np.zeros(0, int)) is None
