"""Commands that start and stop runs, and show the state of things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg.commands.common import new_name, no_more, parse_number, parse_whole, preference
from pymol_edseg.commands.start import contents, map_words, network_options, prepare, start
from pymol_edseg.console import application, say
from pymol_edseg.engine import PREFERENCE, VERSION, EngineError, find_engine
from pymol_edseg.loading import SEGMENT, SEGMENT_IN_CYCLES, STEM
from pymol_edseg.map_export import ExportedMap
from pymol_edseg.runner import pump
from pymol_edseg.state import state_of

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
    cycles: str | int = "",
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
            [, orientations [, cycles ]]]]]]]]]]]

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

        orientations = number of rotations of the grid to average over, up to 24:
            more take longer and are a little better {default: 1}

        cycles = times that the map is read at most, up to 12. Before each but
            the first, what was found improves the phases of the measured
            amplitudes, as long as the labels become surer: for maps of an
            unsolved structure that edseg_load_map made of a file with
            amplitudes {default: 1}

    EXAMPLE

        load map.ccp4
        edseg_segment map, resolution=2.0, residues=95
        edseg_accept b > 80

        edseg_load_map poor_phases.mtz
        edseg_segment poor_phases, cycles=6

    SEE ALSO

        edseg_cancel, edseg_status, edseg_show, edseg_accept, edseg_load
    """
    async_, quiet = parse_whole(kwargs.pop("async", async_), "async"), int(quiet)
    no_more(kwargs, "edseg_segment")
    prepared = prepare(_self, map_obj, resolution)
    if region not in REGIONS:
        raise CmdException(f"region is one of {', '.join(REGIONS)}, not {region!r}.")
    options = ["--region", region, "--voxels"]
    options += network_options(_self, device, weights, orientations)
    words = contents(_self, residues, sequence)
    if selection:
        options += ["--box", *_box(_self, selection, parse_number(buffer, "buffer"), prepared.density)]
    again = ["--cycles", f"{parse_number(cycles, 'cycles'):g}"] if cycles not in ("", 1, "1") else []
    source = state_of(_self).resolutions.source(_self, map_obj) if again else None
    if again and source is None:
        raise CmdException(
            f"More than one cycle needs measured amplitudes, and {map_obj} is not from a file that has any: load the "
            "reflections with edseg_load_map."
        )
    place = map_words(_self, map_obj, prepared, source)
    name = new_name(_self, name, STEM)

    def arguments(folder: Path) -> list[str]:
        return [*place(folder), *options, *again, *words(folder)]

    start(_self, SEGMENT_IN_CYCLES if again else SEGMENT, name, prepared, arguments, async_, quiet)
    return name


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

        Stops the run that is going on and leaves nothing of it behind.
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
