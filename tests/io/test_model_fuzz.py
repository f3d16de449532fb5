"""Damaged coordinate files: `read_model` gives atoms or one sentence, never anything else."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edseg_engine.errors import ModelFormatError
from edseg_engine.io.coordinates import ca_positions, read_model
from places import MODEL

FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
words = st.sampled_from(
    [b"\n", b"loop_\n", b"'", b";", b"data_", b"ENDMDL\n", b"\0", b"9" * 30, b"nan", b"-1e999", b"?"]
)
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), words | st.binary(min_size=1, max_size=6)), max_size=5)
kept = st.one_of(st.just(1.0), st.floats(0, 1))


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    """The first residues of a real model, in both formats."""
    structure = gemmi.read_structure(str(MODEL))
    del structure[0][1:]
    del structure[0][0][12:]
    return {"pdb": structure.make_pdb_string().encode(), "cif": structure.make_mmcif_document().as_string().encode()}


def read_or_refuse(path: Path, content: bytes) -> None:
    """Check that reading `content` gives a model or a sentence about the file."""
    path.write_bytes(content)
    refusal = ""
    try:
        structure = read_model(path)
        assert structure[0].count_atom_sites() > 0
        assert np.isfinite(ca_positions(structure)).all()
    except ModelFormatError as error:
        refusal = str(error)
    assert "\n" not in refusal


@FUZZ
@given(changes=edits, share=kept, form=st.sampled_from(["pdb", "cif"]))
@example(changes=[(0.48577344200147193, b"nan")], share=1.0, form="cif")
def test_damaged_models(
    changes: list[tuple[float, bytes]], share: float, form: str, models: dict[str, bytes], tmp_path: Path
) -> None:
    content = bytearray(models[form])
    for where, new in changes:
        at = int(where * len(content))
        content[at : at + len(new)] = new
    read_or_refuse(tmp_path / f"fuzz.{form}", bytes(content[: int(share * len(content))]))


@FUZZ
@given(
    content=st.binary(max_size=400), start=st.sampled_from([b"", b"ATOM  ", b"data_x\nloop_\n_atom_site.id\n", b"{"])
)
@example(content=b"[" * 10_000, start=b"{")
def test_any_bytes(content: bytes, start: bytes, tmp_path: Path) -> None:
    read_or_refuse(tmp_path / "fuzz", start + content)
