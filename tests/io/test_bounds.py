"""Reading takes no more time, memory and disk than the file is worth, and refuses what is no file."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import gemmi
import numpy as np
import pytest

from ccp4_files import ccp4_bytes
from edseg_engine.errors import DeviceError, EdsegError, MapContentError, MapFormatError, ModelFormatError
from edseg_engine.io.coordinates import read_model
from edseg_engine.io.files import opened, read_text
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.io.sequence import read_sequences
from edseg_engine.memory import require_memory
from places import MODEL, MTZ

CELL = gemmi.UnitCell(16, 16, 16, 90, 90, 90)
ZEROS = bytes(1 << 20)


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    """Fail instead of waiting for ever."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def without_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))


def small_map() -> bytes:
    return ccp4_bytes(np.random.default_rng(0).normal(size=(16, 16, 16)), CELL, (16, 16, 16))


def header_of(shape: tuple[int, int, int], cell: gemmi.UnitCell, sampling: tuple[int, int, int], **words: int) -> bytes:
    """The header of a map of `shape`, of whose values none follow."""
    content = bytearray(ccp4_bytes(np.zeros((1, 1, 1)), cell, sampling, **words)[:1024])  # type: ignore[arg-type]
    content[:12] = struct.pack("<3i", *shape)
    return bytes(content)


def sparse(path: Path, content: bytes, size: int) -> Path:
    """A file that begins with `content` and goes on with zeros that take no disk."""
    path.write_bytes(content)
    os.truncate(path, size)
    return path


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (read_map, MapFormatError),
        (read_amplitudes, MapFormatError),
        (read_model, ModelFormatError),
        (read_sequences, ModelFormatError),
    ],
)
def test_pipes_and_devices_are_refused_at_once(
    read: Callable[[Path], object], error: type[EdsegError], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(error, match="not a regular file"):
            read(path)


def test_links_to_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "map.ccp4").write_bytes(small_map())
    (tmp_path / "link").symlink_to("map.ccp4")
    assert read_map(tmp_path / "link").periodic


@pytest.mark.usefixtures("without_disk")
@pytest.mark.parametrize("start", [b"", small_map()])
def test_what_follows_is_not_unpacked(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(150):
            file.write(ZEROS)
    before = peak_mb()
    if start:
        assert read_map(path).values.shape == (16, 16, 16)
    else:
        with pytest.raises(MapFormatError, match="no density map"):
            read_map(path)
    assert peak_mb() - before < 100


@pytest.mark.usefixtures("without_disk")
def test_a_header_that_promises_more_than_the_compressed_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "promise.map.gz"
    shape = (800, 800, 800)
    path.write_bytes(gzip.compress(header_of(shape, gemmi.UnitCell(400, 400, 400, 90, 90, 90), shape)))
    with pytest.raises(MapFormatError, match="more than the file holds"):
        read_map(path)


@pytest.mark.usefixtures("without_disk")
@pytest.mark.parametrize(("word", "message"), [(2**31 - 1, "GB of reflections"), (200_000_000, "headers are missing")])
def test_reflections_that_are_not_there(word: int, message: str, tmp_path: Path) -> None:
    content = bytearray(gzip.decompress(MTZ.read_bytes()))
    content[4:8] = struct.pack("<i", word)
    for name, data in (("plain.mtz", bytes(content)), ("packed.mtz.gz", gzip.compress(content[:2000]))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MapFormatError, match=message):
            read_map(tmp_path / name)


def test_more_text_than_is_read(tmp_path: Path) -> None:
    with opened(MODEL) as file, pytest.raises(MapFormatError, match="model has more than 0 MB of text"):
        read_text(file, 1000, "model")


def test_more_grid_points_than_are_read(tmp_path: Path) -> None:
    cell = gemmi.UnitCell(550, 550, 550, 90, 90, 90)
    path = sparse(tmp_path / "large.map", header_of((1100,) * 3, cell, (1100,) * 3, mode=0), 1024 + 1100**3)
    with pytest.raises(MapContentError, match="grid points"):
        read_map(path)


@pytest.mark.parametrize(
    ("n", "message"), [(1055, "grid points"), (763, r"without the symmetry of F 4 3 2, too large|GB of memory")]
)
def test_a_small_file_that_symmetry_would_make_huge(n: int, message: str, tmp_path: Path) -> None:
    side = int(np.ceil(n / 96 ** (1 / 3))) + 1
    header = header_of((side,) * 3, gemmi.UnitCell(400, 400, 400, 90, 90, 90), (n,) * 3, mode=0, spacegroup=209)
    path = sparse(tmp_path / "small.map", header, 1024 + side**3)
    before = peak_mb()
    with pytest.raises((MapContentError, DeviceError), match=message):
        read_map(path)
    assert peak_mb() - before < 100


def test_memory_that_is_not_there() -> None:
    require_memory(1e3, "Reading a.map")
    with pytest.raises(DeviceError, match=r"^Reading a\.map needs about 1000000\.0 GB of memory and .* GB are free"):
        require_memory(1e15, "Reading a.map")


def test_a_map_larger_than_memory_is_no_traceback(tmp_path: Path) -> None:
    cell = gemmi.UnitCell(400, 400, 400, 90, 90, 90)
    path = sparse(tmp_path / "large.map", header_of((800,) * 3, cell, (800,) * 3), 1024 + 4 * 800**3)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1500 << 20,) * 2); "
        "from edseg_engine.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "convert", str(path), str(tmp_path / "out.ccp4")]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    )
    assert ended.returncode == DeviceError.exit_code, ended.stderr
    assert "memory" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out.ccp4").exists()
