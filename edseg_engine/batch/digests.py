"""What a result depends on, and whether a result is the one that was written down."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from edseg_engine.batch.journal import Asked
from edseg_engine.batch.records import Done, Job
from edseg_engine.batch.settings import FILES


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def asked_of(job: Job) -> Asked:
    """Return what the result of a job depends on, its map by size and date only."""
    settings: dict[str, object] = asdict(job.settings)
    for name in FILES:
        path = settings[name]
        if isinstance(path, Path):
            settings[name] = {"path": str(path), "sha256": _sha256_once(path)}
    if job.refusal:
        settings["refusal"] = job.refusal
    if isinstance(settings["box"], tuple):
        settings["box"] = list(settings["box"])
    try:
        status = job.path.stat()
    except OSError:
        return Asked(settings, None, None)
    return Asked(settings, status.st_size, status.st_mtime_ns)


def is_same(before: Asked, sha256: str, now: Asked, path: Path) -> bool:
    """Return whether a map is asked for what it was asked for before, when its file had this SHA-256.

    A file of another date is the same if its content is.
    """
    if before.settings != now.settings or before.size != now.size:
        return False
    return before.mtime_ns == now.mtime_ns or (bool(sha256) and sha256_of(path) == sha256)


def is_there(result: Done, directory: Path, document: str) -> bool:
    """Return whether a result is as it was written down: its document to the byte, its other files in size."""
    try:
        sizes = {name: (directory / name).stat().st_size for name in result.files}
    except OSError:
        return False
    return sizes == dict(result.files) and sha256_of(directory / document) == result.document_sha256


def _sha256_once(path: Path) -> str:
    """Return the SHA-256 of a file that many maps share, read once while it does not change."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return _remembered(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _remembered(path: Path, modified: int, size: int) -> str:
    return sha256_of(path)
