"""Opens what a user names: regular files only, compressed with gzip or not, and never more of them than is read."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edseg_engine.errors import DeviceError, EdsegError, MapFormatError
from edseg_engine.io.names import shown
from edseg_engine.io.temporary import temporary_directory
from edseg_engine.memory import require_memory

#: An opened file; what is read is its uncompressed content.
File = io.BufferedReader | gzip.GzipFile
#: gzip never compresses better than this.
_GZIP_LIMIT = 1032
#: gemmi keeps each value of a text file as a string.
_BYTES_PER_LETTER = 12


def check_regular(path: Path) -> None:
    """Refuse pipes, devices and sockets, reading from which may never end.

    Raises
    ------
    OSError
        If `path` is one, or is a directory, or does not exist.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


@contextmanager
def opened(path: Path, refusal: type[EdsegError] = MapFormatError) -> Iterator[File]:
    """Open a file for reading; what is read is the uncompressed content.

    Raises
    ------
    EdsegError
        `refusal`: there is no such file, it cannot be read, or its compression is damaged.
    DeviceError
        Memory ran out while the file was open.
    """
    try:
        check_regular(path)
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not compressed:
                yield raw
                return
            with gzip.GzipFile(path, fileobj=raw) as file:
                yield file
    except FileNotFoundError as error:
        raise refusal(f"{shown(path)} does not exist.") from error
    except IsADirectoryError as error:
        raise refusal(f"{shown(path)} is a directory, not a file.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise refusal(f"{shown(path.name)} is truncated or damaged: it cannot be unpacked.") from error
    except OSError as error:
        raise refusal(f"{shown(path.name)} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DeviceError(f"There is not enough memory to read {shown(path.name)}; close other programs.") from error


def most_bytes(file: File) -> int:
    """Return how many bytes an opened file holds; if it is compressed, how many it can hold at most."""
    size = os.fstat(file.fileno()).st_size
    return size * _GZIP_LIMIT if isinstance(file, gzip.GzipFile) else size


def read_text(file: File, largest: int, name: str, refusal: type[EdsegError] = MapFormatError) -> bytes:
    """Return all of an opened text file.

    Raises
    ------
    EdsegError
        `refusal`: it has more than `largest` bytes.
    DeviceError
        There is not enough memory to take it apart.
    """
    file.seek(0)
    text = file.read(largest + 1)
    if len(text) > largest:
        raise refusal(f"{name} has more than {largest >> 20} MB of text.")
    require_memory(_BYTES_PER_LETTER * len(text), f"Reading {name}")
    return text


@contextmanager
def on_disk(file: File, size: int) -> Iterator[Path]:
    """Give the first `size` bytes of an opened file's content a path, for libraries that read nothing else."""
    if not isinstance(file, gzip.GzipFile):
        with _utf8_path(Path(os.fsdecode(file.name))) as path:
            yield path
        return
    with temporary_directory() as folder:
        plain = folder / "plain"
        file.seek(0)
        with plain.open("wb") as target:
            while size > 0 and (block := file.read(min(size, 1 << 20))):
                target.write(block)
                size -= len(block)
        yield plain


@contextmanager
def _utf8_path(path: Path) -> Iterator[Path]:
    """Give a path to the same file that is UTF-8, as gemmi needs it, for as long as the context lasts."""
    if os.fsencode(path).decode("utf-8", "replace") == str(path):
        yield path
        return
    with temporary_directory() as folder:
        link = folder / f"file-{os.fsencode(path.name).decode('ascii', 'ignore')}"
        link.symlink_to(path.absolute())
        yield link
