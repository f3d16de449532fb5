"""Map files that cannot be used, and what is said of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from atom_maps import CELLS, SAMPLING, grid_values
from ccp4_files import ccp4_bytes
from edseg_engine.errors import Cancelled, EdsegError, MapContentError, MapFormatError, OptionError, ResolutionError
from edseg_engine.io.read import read_map
from places import CRYSTAL


def damaged(**words: float) -> bytes:
    """A map with some header words (w0, w1, ...) replaced; floats stay floats."""
    content = bytearray(ccp4_bytes(grid_values(CELLS["cubic"], (0, 0, 0), SAMPLING), CELLS["cubic"], SAMPLING))
    for word, value in words.items():
        at = 4 * int(word[1:])
        content[at : at + 4] = np.array(value, "<f4" if isinstance(value, float) else "<i4").tobytes()
    return bytes(content)


def with_value(value: float) -> bytes:
    values = grid_values(CELLS["cubic"], (0, 0, 0), SAMPLING)
    values[3, 4, 5] = value
    return ccp4_bytes(values, CELLS["cubic"], SAMPLING)


BAD = {
    "empty": (b"", MapFormatError, "is empty"),
    "text": (b"This is no map at all.\n" * 200, MapFormatError, "no density map"),
    "short": (b"MTZ", MapFormatError, "no density map"),
    "header only": (damaged()[:700], MapFormatError, "truncated"),
    "truncated": (damaged()[:-100], MapFormatError, "truncated"),
    "gzip of text": (gzip.compress(b"hello"), MapFormatError, "no density map"),
    "truncated gzip": (gzip.compress(damaged())[:-50], MapFormatError, "truncated or damaged"),
    "axes": (damaged(w16=2), MapFormatError, "axis order"),
    "mode": (damaged(w3=4), MapFormatError, "MODE 4"),
    "huge": (damaged(w0=2**30, w1=2**30, w2=2**30), MapFormatError, "truncated"),
    "no points": (damaged(w1=0), MapFormatError, "damaged"),
    "negative points": (damaged(w1=-5), MapFormatError, "damaged"),
    "symmetry bytes": (damaged(w23=-80), MapFormatError, "damaged"),
    "space group": (damaged(w22=401), MapFormatError, "space group number 401"),
    "no symmetric cell": (damaged(w22=195, w10=12.0), MapContentError, "does not fit its space group"),
    "no sampling": (damaged(w9=0), MapContentError, "sampling"),
    "two-dimensional": (damaged(w9=1), MapContentError, "at least 4 grid points"),
    "huge sampling": (damaged(w9=2**30), MapContentError, "spacings"),
    "start": (damaged(w4=2**30), MapContentError, "absurdly far"),
    "zero cell": (damaged(w10=0.0), MapContentError, "lengths"),
    "negative cell": (damaged(w11=-16.0), MapContentError, "lengths"),
    "NaN cell": (damaged(w12=float("nan")), MapContentError, "lengths"),
    "huge cell": (damaged(w10=6000.0), MapContentError, "lengths"),
    "zero angle": (damaged(w13=0.0), MapContentError, "angles"),
    "angles that do not close": (damaged(w13=150.0, w14=150.0, w15=90.0), MapContentError, "angles"),
    "NaN angle": (damaged(w13=float("nan")), MapContentError, "angles"),
    "NaN origin": (damaged(w49=float("nan")), MapContentError, "origin"),
    "NaN": (with_value(np.nan), MapContentError, "no numbers"),
    "infinite": (with_value(np.inf), MapContentError, "no numbers"),
    "absurd value": (with_value(1e30), MapContentError, "as large as"),
    "constant": (
        ccp4_bytes(np.full(SAMPLING, 0.3), CELLS["cubic"], SAMPLING),
        MapContentError,
        "same value",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case: str, tmp_path: Path) -> None:
    content, error, message = BAD[case]
    path = tmp_path / "bad.ccp4"
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_map(path)
    told = str(caught.value)
    assert told.startswith("bad.ccp4 ")
    assert "\n" not in told
    assert told.endswith(".")


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(MapFormatError, match="does not exist"):
        read_map(tmp_path / "nothing.mtz")
    with pytest.raises(MapFormatError, match="is a directory"):
        read_map(tmp_path)


@pytest.mark.parametrize("resolution", [0.0, -2.0, float("nan"), float("inf")])
def test_resolution_must_be_positive(resolution: float) -> None:
    with pytest.raises(ResolutionError, match="positive"):
        read_map(CRYSTAL / "data.mtz.gz", resolution=resolution)


def test_map_has_no_columns_to_name(tmp_path: Path) -> None:
    (tmp_path / "m.ccp4").write_bytes(damaged())
    with pytest.raises(OptionError, match="no columns"):
        read_map(tmp_path / "m.ccp4", f_label="FWT", phi_label="PHWT")


def test_all_errors_have_exit_codes_of_their_own() -> None:
    codes = [error.exit_code for error in (*EdsegError.__subclasses__(), Cancelled)]
    assert len(codes) == len(set(codes))
