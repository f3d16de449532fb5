"""Damaged files: `read_map` gives a sound map or one sentence, never anything else, and never takes much memory."""

from __future__ import annotations

import gzip
import resource
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ccp4_files import ccp4_bytes
from edseg_engine.errors import EdsegError
from edseg_engine.io.read import read_map
from places import CRYSTAL

FUZZ = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MEMORY_MB = 300

words = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-300, 300),
    st.sampled_from([0, 1, 2**30, 2**31 - 1, -(2**31)]),
    st.floats(width=32).map(lambda x: int(np.float32(x).view(np.int32))),
)
header_words = st.lists(st.tuples(st.integers(0, 55), words), min_size=1, max_size=5)
byte_edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=6)
#: Share of the file that is kept; mostly all of it.
kept = st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1))


def peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def read_or_refuse(path: Path, content: bytes) -> None:
    """Check that reading `content` gives a sound map or a sentence about the file."""
    path.write_bytes(content)
    before = peak_mb()
    density, refusal = None, ""
    try:
        density = read_map(path)
    except EdsegError as error:
        refusal = str(error)
    if density is None:
        assert path.name in refusal
        assert "\n" not in refusal
    else:
        assert density.values.dtype == np.float32
        assert np.isfinite(density.values).all()
        assert density.values.std() > 0
        assert not density.periodic or density.values.shape == density.grid.sampling
        assert density.cell.volume > 0
        assert density.d_min is None or density.d_min > 0
        box = density.sample(density.grid.origin, None, (3, 3, 3), 1.0)
        assert not density.periodic or np.isfinite(box).all()
        assert density.source["file"] == path.name
    assert peak_mb() - before < MEMORY_MB


def edited(content: bytes, edits: list[tuple[float, bytes]]) -> bytes:
    result = bytearray(content)
    for where, new in edits:
        at = int(where * len(result))
        result[at : at + len(new)] = new
    return bytes(result)


@pytest.fixture(scope="module")
def ccp4() -> bytes:
    values = np.random.default_rng(0).normal(size=(16, 9, 12))
    return ccp4_bytes(values, gemmi.UnitCell(16, 16, 12, 90, 90, 90), (16, 16, 12), spacegroup=4, axes=(2, 1, 3))


@pytest.fixture(scope="module")
def mtz() -> bytes:
    """A small MTZ: the real crystal's reflections to 6 Å."""
    table = gemmi.read_mtz_file(str(CRYSTAL / "data.mtz.gz"))
    result: bytes = table.filtered(table.make_d_array() > 6).write_to_bytes()
    return result


@pytest.fixture(scope="module")
def cif(mtz: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("cif") / "small.mtz"
    path.write_bytes(mtz)
    return gemmi.MtzToCif().write_cif_to_string(gemmi.read_mtz_file(str(path))).encode()


def test_undamaged_files_are_read(ccp4: bytes, mtz: bytes, cif: bytes, tmp_path: Path) -> None:
    for content in (ccp4, mtz, cif):
        (tmp_path / "whole").write_bytes(content)
        assert read_map(tmp_path / "whole").periodic


@FUZZ
@given(changes=header_words, share=kept)
@example(changes=[(0, 2**30), (1, 2**30)], share=1.0)
@example(changes=[(7, 2**31 - 1), (10, 1167867904)], share=1.0)
@example(changes=[(22, 209)], share=1.0)
@example(changes=[(9, 1)], share=1.0)
def test_ccp4_header_words(changes: list[tuple[int, int]], share: float, ccp4: bytes, tmp_path: Path) -> None:
    content = bytearray(ccp4)
    for word, value in changes:
        content[4 * word : 4 * word + 4] = value.to_bytes(4, "little", signed=True)
    read_or_refuse(tmp_path / "fuzz.ccp4", bytes(content[: int(share * len(content))]))


@FUZZ
@given(edits=byte_edits, share=kept)
def test_ccp4_bytes(edits: list[tuple[float, bytes]], share: float, ccp4: bytes, tmp_path: Path) -> None:
    read_or_refuse(tmp_path / "fuzz.map", edited(ccp4[: int(share * len(ccp4))], edits))


@FUZZ
@given(edits=byte_edits, share=kept, in_header=st.booleans())
def test_mtz_bytes(edits: list[tuple[float, bytes]], share: float, in_header: bool, mtz: bytes, tmp_path: Path) -> None:
    header = 4 * (int.from_bytes(mtz[4:8], "little") - 1) if in_header else 0
    content = mtz[:header] + edited(mtz[header:], edits)
    read_or_refuse(tmp_path / "fuzz.mtz", content[: int(share * len(content))])


mtz_numbers = st.one_of(st.integers(-(10**10), 10**10), st.floats(), st.text("0123456789.-+eEnaif ", max_size=12))


@FUZZ
@given(
    numbers=st.lists(mtz_numbers, min_size=1, max_size=6), record=st.sampled_from(["NCOL", "CELL", "NDIF", "SYMINF"])
)
@example(numbers=[2**31 - 1, 2**31 - 1, 0], record="NCOL")
@example(numbers=[8, 2**30, 2**31 - 1], record="NCOL")
@example(numbers=[8, 323, 9_000_000], record="NCOL")
@example(numbers=[2**31 - 1, 6, "P", 154], record="SYMINF")
def test_mtz_records(numbers: list[object], record: str, mtz: bytes, tmp_path: Path) -> None:
    text = (record.ljust(5) + " ".join(map(str, numbers))).ljust(80)[:80].encode()
    at = mtz.index(record.ljust(5).encode())
    read_or_refuse(tmp_path / "fuzz.mtz", mtz[:at] + text + mtz[at + 80 :])


@FUZZ
@given(edits=byte_edits, share=kept)
def test_cif_bytes(edits: list[tuple[float, bytes]], share: float, cif: bytes, tmp_path: Path) -> None:
    read_or_refuse(tmp_path / "fuzz-sf.cif", edited(cif[: int(share * len(cif))], edits))


@FUZZ
@given(edits=byte_edits, share=kept)
def test_gzip_bytes(edits: list[tuple[float, bytes]], share: float, ccp4: bytes, tmp_path: Path) -> None:
    content = gzip.compress(ccp4, mtime=0)
    read_or_refuse(tmp_path / "fuzz.map.gz", edited(content[: int(share * len(content))], edits))


@FUZZ
@given(content=st.binary(max_size=3000), start=st.sampled_from([b"", b"MTZ ", b"data_x\n", b"\x1f\x8b"]))
def test_any_bytes(content: bytes, start: bytes, tmp_path: Path) -> None:
    read_or_refuse(tmp_path / "fuzz", start + content)
