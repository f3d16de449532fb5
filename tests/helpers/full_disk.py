"""A full disk, for tests of what must not be lost on one."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Let writes fail as on a full disk, here and in child processes: files end at `n_bytes`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def own_disk(folder: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Put a disk of its own at `folder`, of this size if one is given; without the right to, skip the test."""
    options = [] if n_bytes is None else ["-o", f"size={n_bytes}"]
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
