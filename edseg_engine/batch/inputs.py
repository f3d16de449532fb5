"""From what a user names to the maps of a batch: files, folders, patterns and manifests."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edseg_engine.batch.manifest import MapInput, is_manifest, read_manifest
from edseg_engine.batch.settings import MapSettings
from edseg_engine.errors import OptionError
from edseg_engine.io.names import shown

#: Ends of the names of maps and reflections; in folders, other files are passed over.
_MAPS = (".mtz", ".ccp4", ".map", ".mrc", "-sf.cif")
_COMPRESSED = ".gz"


def find_maps(inputs: Sequence[Path | str], defaults: MapSettings, output: Path) -> list[MapInput]:
    """Return the maps that `inputs` name, each once, in their order.

    Parameters
    ----------
    inputs
        Files, folders (all maps in them and their folders, by the ends of their names), patterns such as
        ``data/*.mtz``, and manifests.
    defaults
        Settings of all maps for which a manifest says nothing else.
    output
        The output directory: folders and patterns find nothing in it.

    Raises
    ------
    OptionError
        If something does not exist, holds no map, or a map or a name is there twice with different settings.
    """
    found: dict[tuple[str, str | None], MapInput] = {}
    for text in inputs:
        for given in _maps_of(text, defaults, output):
            key = (os.path.realpath(given.path), given.name)
            if found.setdefault(key, given).settings != given.settings:
                raise OptionError(
                    f"{shown(given.path)} is there twice with different settings; give each a name of its own."
                )
    if not found:
        raise OptionError("There is no map to work on: the manifest has no lines.")
    names = [name.casefold() for _, name in found if name is not None]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise OptionError(f"Two maps have the name {twice!r}; each needs a name of its own.")
    return list(found.values())


def _maps_of(text: Path | str, defaults: MapSettings, output: Path) -> Iterator[MapInput]:
    path = Path(text)
    if path.is_dir():
        paths = sorted(_maps_in(path, output))
        if not paths:
            raise OptionError(f"There is no map in {shown(path)}: no file ends with {', '.join(_MAPS)} (or .gz).")
    elif os.path.lexists(path):
        paths = [path]
    else:
        paths = list(_maps_that_fit(str(text), output))
        if not paths:
            raise OptionError(f"{shown(path)} does not exist: it is no file, no folder and no pattern that fits a map.")
    for each in paths:
        if is_manifest(each):
            yield from read_manifest(each, defaults)
        else:
            yield MapInput(each, defaults)


def _maps_that_fit(pattern: str, output: Path) -> Iterator[Path]:
    own = Path(os.path.realpath(output))
    says_names = Path(pattern).name.strip("*") != ""  # "data/**" fits all files, and is meant as the folder
    for path in sorted(map(Path, glob.glob(pattern, recursive=True))):
        if path.is_dir():
            yield from sorted(_maps_in(path, output))
        elif own not in Path(os.path.realpath(path)).parents and (says_names or _is_map(path.name)):
            yield path


def _maps_in(folder: Path, output: Path) -> Iterator[Path]:
    own = Path(os.path.realpath(output))
    for root, folders, files in os.walk(folder):
        if own in (real := Path(os.path.realpath(root)), *real.parents):
            folders.clear()
            continue
        yield from (Path(root, name) for name in files if _is_map(name))


def _is_map(name: str) -> bool:
    return name.lower().removesuffix(_COMPRESSED).endswith(_MAPS)
