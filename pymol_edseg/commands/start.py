"""What the commands share that start a run of the engine: what it needs, its start, and waiting for its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymol import CmdException

from pymol_edseg import storage
from pymol_edseg.commands.common import parse_number, preference, user_errors
from pymol_edseg.console import application, say
from pymol_edseg.engine import Engine, EngineError, find_engine
from pymol_edseg.engine_process import Run, Task
from pymol_edseg.map_export import ExportedMap, MapExportError, export_map, require_map
from pymol_edseg.records import RunFlags
from pymol_edseg.resolutions import Reflections
from pymol_edseg.runner import begin, pump, wait
from pymol_edseg.state import state_of

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Prepared:
    """What a run needs besides its options: the map as a file's bytes, its resolution (Å), and the engine."""

    density: ExportedMap
    d_min: float
    engine: Engine


def prepare(_self: Any, map_obj: str, resolution: str | float) -> Prepared:
    """Return what a run on a map needs, if none is going on."""
    state = state_of(_self)
    pump(_self)
    if state.run is not None and state.run.active:
        raise CmdException(f"{state.run.name} is still running; wait for it, or stop it with edseg_cancel.")
    with user_errors(MapExportError):
        require_map(_self, map_obj)
    d_min = state.resolutions.find(_self, map_obj) if resolution == "" else parse_number(resolution, "resolution")
    if d_min is None:
        raise CmdException(f"The resolution of {map_obj} is not known; give it, for instance resolution=2.8.")
    with user_errors(MapExportError, EngineError):
        return Prepared(export_map(_self, map_obj), d_min, find_engine(preference))


def network_options(_self: Any, device: str, weights: str, orientations: str | int) -> list[str]:
    """Return the words that say how the network is to be run."""
    if device not in DEVICES:
        raise CmdException(f"device is one of {', '.join(DEVICES)}, not {device!r}.")
    options = ["--device", device]
    if orientations != "":
        options += ["--orientations", f"{parse_number(orientations, 'orientations'):g}"]
    if weights:
        options += ["--weights", str(Path(_self.exp_path(weights)).resolve())]
    return options


def map_words(_self: Any, map_obj: str, prepared: Prepared, source: Reflections | None) -> Callable[[Path], list[str]]:
    """Return what makes the words that name the map, for the folder of the run: the file that it was made of, or if
    `source` is None the map itself, and the resolution where it is not the one known."""
    known = state_of(_self).resolutions.find(_self, map_obj)
    at = ["--resolution", f"{prepared.d_min:g}"] if source is None or prepared.d_min != known else []
    return lambda folder: [*([str(folder / storage.MAP)] if source is None else [source.path, *source.words]), *at]


def contents(_self: Any, residues: str | int, sequence: str) -> Callable[[Path], list[str]]:
    """Return what makes the words about the contents of the map, for the folder of the run."""
    count = [] if residues == "" else ["--residues", f"{parse_number(residues, 'residues'):g}"]
    return lambda folder: (
        [*count, "--sequence", _sequence_file(_self.exp_path(sequence), folder)] if sequence else count
    )


def start(
    _self: Any,
    task: Task,
    name: str,
    prepared: Prepared,
    arguments: Callable[[Path], list[str]],
    async_: int,
    quiet: int,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Start a run, and wait for its end unless the user need not.

    Parameters
    ----------
    arguments
        Returns the words after the subcommand, for the run's folder; the map is ``map.ccp4`` in it.
    async_
        1: return at once; 0: wait; -1: wait in scripts and without a window.
    files
        What else has to be written to the folder, by name.
    """
    folder = _run_folder(name, {storage.MAP: prepared.density.data, **(files or {})})
    try:
        with _writing():
            words = arguments(folder)
    except CmdException:
        storage.remove_run(folder)
        raise
    map_obj = prepared.density.map.name
    state_of(_self).resolutions.remember(_self, map_obj, prepared.d_min)
    # Once its command has returned, a run has to report its own errors.
    alone = async_ == 1 or (async_ == -1 and application() is not None and not _in_script(_self))
    run = Run(task, name, prepared.density.map, prepared.engine, folder, words, RunFlags(bool(quiet), alone))
    say(f"{task.doing} {map_obj} at {prepared.d_min:g} A ...", quiet)
    begin(_self, run)
    if not alone:
        end = wait(_self, run)
        if end.state != "done":
            raise CmdException(end.message)


def _sequence_file(sequence: str, folder: Path) -> str:
    """Return the path of a sequence file, that of the user or one with the letters that they gave."""
    if Path(sequence).is_file():
        return str(Path(sequence).resolve())
    letters = "".join(sequence.split())
    if not letters.isalpha() or not letters.isascii() or len(letters) < 2:
        raise CmdException(f"{sequence!r} is neither a sequence file nor a one-letter sequence.")
    path = folder / "sequence.fasta"
    path.write_text(f">sequence\n{letters}\n", encoding="ascii")
    return str(path)


def _in_script(_self: Any) -> bool:
    """Return whether the command comes from a script: what is typed is parsed at the first level."""
    return int(_self._parser.nest) > 1


def _run_folder(name: str, files: Mapping[str, bytes]) -> Path:
    with _writing():
        folder = storage.new_run_folder(name)
        try:
            for file, data in files.items():
                (folder / file).write_bytes(data)
        except OSError:
            storage.remove_run(folder)
            raise
    return folder


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Turn errors of writing to the folder of a run into a sentence for the user."""
    try:
        yield
    except OSError as error:
        where, variable = storage.runs_folder(), storage.RUNS_VARIABLE
        raise CmdException(
            f"Cannot write the map to {where} ({error.strerror}); free some space there, or set {variable}."
        ) from error
