"""Files from a server: completely or not at all, and again where that can help."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, InvalidURL
from pathlib import Path

from edseg_engine import __version__
from edseg_engine.errors import DownloadError
from edseg_engine.io.names import shown
from edseg_engine.io.output import output_file

#: Times that a file is asked for, and the seconds before the second time; they double each time.
TRIES, PAUSE = 4, 1.0
#: Seconds without a byte after which a server is given up.
_TIMEOUT = 60.0
_BLOCK = 1 << 16
#: Answers of a server that is busy, not of one that does not have the file.
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _WorthAnotherTry(Exception):
    """Something that may go well the next time."""


def download(url: str, path: Path, *, sha256: str | None = None) -> str:
    """Write what a server gives to a file, which appears when it is complete, and return its SHA-256.

    Broken connections, busy servers, answers that are shorter than announced and wrong checksums are tried again.

    Parameters
    ----------
    url
        ``http`` or ``https``.
    path
        The file to write or to replace, in a folder that exists.
    sha256
        That the file must have, as hexadecimal digits; None takes any.

    Raises
    ------
    DownloadError
        If the server does not have the file, or does not give it, or another than asked for.
    OutputError
        If the file cannot be written.
    """
    if not re.match("https?://", url):
        raise DownloadError(f"{shown(url)} is not the address of a file on a server: it must begin with https://.")
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE * 2 ** (number - 1))
        try:
            with output_file(path) as new:
                digest = hashlib.sha256()
                with new.open("wb") as file:
                    for block in _blocks(url):
                        digest.update(block)
                        file.write(block)
                if sha256 and digest.hexdigest() != sha256.lower():
                    raise _WorthAnotherTry(
                        f"it has the SHA-256 {digest.hexdigest()[:12]}... instead of {sha256[:12].lower()}..."
                    )
            return digest.hexdigest()
        except _WorthAnotherTry as error:
            reason = error
    raise DownloadError(f"{shown(url)} could not be fetched, tried {TRIES} times: {reason}.")


def _blocks(url: str) -> Iterator[bytes]:
    """Yield the content at a URL; raise `_WorthAnotherTry` if it breaks off, `DownloadError` if there is none."""
    try:
        request = urllib.request.Request(url, headers={"User-Agent": f"edseg/{__version__}"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            announced, received = answer.headers.get("Content-Length"), 0
            while block := answer.read(_BLOCK):
                received += len(block)
                yield block
        if announced and announced.isdigit() and received != int(announced):
            raise _WorthAnotherTry(f"it broke off after {received} of {announced} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _BUSY:
            raise _WorthAnotherTry(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(f"{shown(url)} is not there: the server answered {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise _WorthAnotherTry(f"no connection ({error.reason})") from error
    except (ValueError, InvalidURL) as error:
        raise DownloadError(f"{shown(url)} is not the address of a file on a server ({error}).") from error
    except (OSError, HTTPException) as error:
        raise _WorthAnotherTry(f"the connection broke ({error or type(error).__name__})") from error
