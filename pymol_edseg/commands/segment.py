"""Commands that start and stop runs, and show the state of things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg import storage
from pymol_edseg.commands.common import new_name, parse_number, preference, user_errors
from pymol_edseg.console import application, say
from pymol_edseg.engine import PREFERENCE, VERSION, EngineError, find_engine
from pymol_edseg.engine_process import Run
from pymol_edseg.map_export import ExportedMap, MapExportError, export_map
from pymol_edseg.records import RunFlags
from pymol_edseg.runner import begin, pump, wait
from pymol_edseg.state import state_of

DEVICES = ("auto", "cpu", "cuda", "mps")
REGIONS = ("auto", "asu", "cell", "box")


def edseg_segment(
    map_obj: str,
    resolution: str | float = "",
    residues: str | int = "",
    sequence: str = "",
    selection: str = "",
    buffer: str | float = 5.0,
    name: str = "",
    device: str = "auto",
    region: str = "auto",
    async_: str | int = -1,
    weights: str = "",
    orientations: str | int = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
    **kwargs: Any,
) -> str:
    """
    DESCRIPTION

        Locates the residues in a map and gives the three most likely types of
        each. The results are a group of objects: labelled pseudo-atoms at the
        centroids, coloured by class, with B-factors of 100 * confidence, and an
        isosurface of the density for each class.

    USAGE

        edseg_segment map_obj, resolution [, residues [, sequence [, selection
            [, buffer [, name [, device [, region [, async [, weights
            [, orientations ]]]]]]]]]]

    ARGUMENTS

        map_obj = name of a map object. Its scale does not matter: maps that PyMOL
            normalised while loading give the same result.

        resolution = resolution of the data in A; needed once for each map

        residues = number of residues in the region {default: estimated from
            the map}

        sequence = FASTA file or one-letter sequence, instead of residues; only its
            length is used

        selection = atoms: segment only the box around them

        buffer = margin of this box around the atoms, in A {default: 5}

        name = name of the results {default: edseg_1, edseg_2, ...}

        device = auto, cpu, cuda or mps {default: auto}

        region = auto, asu, cell or box {default: auto, the asymmetric unit of a
            crystal, else the box of the map}

        async = 0/1: wait for the end, or return at once {default: wait in scripts
            and without a window, return at once when typed in the window}

        weights = file of weights {default: the weights for the resolution}

        orientations = number of rotations of the grid to average over: 1 for a
            quick look, up to 24 {default: 4}

    EXAMPLE

        load map.ccp4
        edseg_segment map, resolution=2.0, residues=95
        edseg_accept b > 80

    SEE ALSO

        edseg_cancel, edseg_status, edseg_show, edseg_accept, edseg_load
    """
    async_, quiet = int(kwargs.pop("async", async_)), int(quiet)
    if kwargs:
        raise CmdException(f"edseg_segment has no argument {next(iter(kwargs))!r}.")
    state = state_of(_self)
    pump(_self)
    if state.run is not None and state.run.active:
        raise CmdException(f"{state.run.name} is still running; wait for it, or stop it with edseg_cancel.")
    d_min = state.resolutions.find(_self, map_obj) if resolution == "" else parse_number(resolution, "resolution")
    if d_min is None:
        raise CmdException(f"The resolution of {map_obj} is not known; give it, for instance resolution=2.8.")
    if device not in DEVICES or region not in REGIONS:
        raise CmdException(f"device is one of {', '.join(DEVICES)}, region one of {', '.join(REGIONS)}.")
    options = ["--resolution", f"{d_min:g}", "--device", device, "--region", region, "--voxels"]
    if residues != "":
        options += ["--residues", f"{parse_number(residues, 'residues'):g}"]
    if orientations != "":
        options += ["--orientations", f"{parse_number(orientations, 'orientations'):g}"]
    if weights:
        options += ["--weights", str(Path(_self.exp_path(weights)).resolve())]
    name = new_name(_self, name)
    with user_errors(MapExportError, EngineError):
        density = export_map(_self, map_obj)
        engine = find_engine(preference)
    if selection:
        options += ["--box", *_box(_self, selection, parse_number(buffer, "buffer"), density)]
    folder = _run_folder(name, density)
    if sequence:
        options += ["--sequence", _sequence_file(_self.exp_path(sequence), folder)]
    state.resolutions.remember(_self, map_obj, d_min)
    # Once its command has returned, a run has to report its own errors.
    alone = async_ == 1 or (async_ == -1 and application() is not None and not _in_script(_self))
    run = Run(name, density.map, engine, folder, options, RunFlags(bool(quiet), alone))
    say(f"Segmenting {map_obj} at {d_min:g} A ...", quiet)
    begin(_self, run)
    if alone:
        return name
    end = wait(_self, run)
    if end.state != "done":
        raise CmdException(end.message)
    return name


def _in_script(_self: Any) -> bool:
    """Return whether the command comes from a script: what is typed is parsed at the first level."""
    return int(_self._parser.nest) > 1


def _run_folder(name: str, density: ExportedMap) -> Path:
    try:
        folder = storage.new_run_folder(name)
        try:
            (folder / storage.MAP).write_bytes(density.data)
        except OSError:
            storage.remove_run(folder)
            raise
    except OSError as error:
        where, variable = storage.runs_folder(), storage.RUNS_VARIABLE
        raise CmdException(
            f"Cannot write the map to {where} ({error.strerror}); free some space there, or set {variable}."
        ) from error
    return folder


def _sequence_file(sequence: str, folder: Path) -> str:
    if Path(sequence).is_file():
        return str(Path(sequence).resolve())
    letters = "".join(sequence.split())
    if not letters.isalpha() or len(letters) < 2:
        storage.remove_run(folder)
        raise CmdException(f"{sequence!r} is neither a sequence file nor a one-letter sequence.")
    path = folder / "sequence.fasta"
    path.write_text(f">sequence\n{letters}\n", encoding="ascii")
    return str(path)


def _box(_self: Any, selection: str, buffer: float, density: ExportedMap) -> list[str]:
    if density.map.moved:
        raise CmdException(f"{density.map.name} was moved on the screen; reset it (matrix_reset) to use selection=.")
    if not _self.count_atoms(selection):
        raise CmdException(f"The selection {selection!r} contains no atoms.")
    low, high = _self.get_extent(selection)
    return [f"{x - buffer:.3f}" for x in low] + [f"{x + buffer:.3f}" for x in high]


def edseg_cancel(quiet: str | int = 1, *, _self: Any = cmd) -> bool:
    """
    DESCRIPTION

        Stops the segmentation that is running and leaves nothing of it behind.
        Returns whether there was one.

    USAGE

        edseg_cancel

    EXAMPLE

        edseg_segment map, resolution=2.0, async=1
        edseg_cancel

    SEE ALSO

        edseg_segment, edseg_status
    """
    state = state_of(_self)
    pump(_self)
    run = state.run
    if run is None or not run.active:
        say("Nothing is running.", int(quiet))
        return False
    run.cancel()
    if application() is None:
        run.wait(10)
        pump(_self)
    say(f"{run.name} was stopped.", int(quiet))
    return True


def edseg_status(python: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> dict[str, Any]:
    """
    DESCRIPTION

        Shows which engine the plugin uses, what is running, and which results
        there are. It can be used at any time. Returns a dictionary.

    USAGE

        edseg_status [ python ]

    ARGUMENTS

        python = path of the Python in which edseg is installed, saved as a
            preference; "none" clears it

    EXAMPLE

        edseg_status
        edseg_status python=~/edseg/bin/python

    SEE ALSO

        edseg_segment, edseg_cancel
    """
    if python:
        from pymol import plugins

        plugins.pref_set(PREFERENCE, "" if python.lower() == "none" else _self.exp_path(python))
    state = state_of(_self)
    pump(_self)
    status: dict[str, Any] = {"plugin": VERSION, "pymol": _self.get_version()[0]}
    try:
        engine = find_engine(preference)
        status |= {"command": " ".join(engine.command), "found by": engine.source}
        status["engine"] = engine.version()
    except EngineError as error:
        status["error"] = str(error)
    run = state.run
    if run is not None and run.active:
        status["running"] = f"{run.name}: {run.status.stage}, {100 * run.status.fraction:.0f} %"
    if state.last_message:
        status["last message"] = state.last_message
    status["results"] = {
        result.name: {
            "map": result.map.name if result.map else None,
            "residues": len(result.proposals),
            "resolution": result.data.resolution,
            "device": result.data.device,
            "weights": result.data.weights,
            "engine": result.data.engine_version,
            "folder": str(result.folder) if result.folder else None,
        }
        for result in state.live(_self).values()
    }
    if not int(quiet):
        for key, value in status.items():
            if isinstance(value, dict):
                for inner, facts in value.items():
                    say(f"{inner}: " + ", ".join(f"{k} {v}" for k, v in facts.items() if v))
            else:
                say(f"{key}: {value}")
    return status
