"""The command that builds a model into a map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pymol import CmdException, cmd, util

from pymol_edseg.building import BUILD, PARTS, STEM, finish_build
from pymol_edseg.commands.common import new_name, no_more, parse_number, parse_whole
from pymol_edseg.commands.start import contents, map_words, network_options, prepare, start
from pymol_edseg.engine_process import Run
from pymol_edseg.state import state_of

COLORS = ("probability", "chain")


def edseg_build(
    map_obj: str,
    resolution: str | float = "",
    sequence: str = "",
    residues: str | int = "",
    cycles: str | int = "",
    name: str = "",
    color: str = "probability",
    device: str = "auto",
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

        Builds a model into a map: traces the chains, finds their place in the
        sequence, builds all atoms and refines them. The model is shown as
        cartoon and sticks; its map, if it was refined, is NAME_map.

        A map that edseg_load_map made of reflections is built into from their
        file. If that has amplitudes, the model is refined against them. Other
        maps are built into without refinement against amplitudes.

        It takes minutes to hours, and needs edseg with the extra "build".

    USAGE

        edseg_build map_obj, resolution [, sequence [, residues [, cycles
            [, name [, color [, device [, async [, weights
            [, orientations ]]]]]]]]]

    ARGUMENTS

        map_obj = name of a map object

        resolution = resolution of the data in A; needed once for each map

        sequence = FASTA file or one-letter sequence of the protein chains
            {default: none; residues are named as they look}

        residues = number of residues in the asymmetric unit {default: estimated
            from the sequence and the map}

        cycles = at most so many times the refined model's map is read again
            {default: 3}

        name = name of the model {default: built_1, built_2, ...}

        color = probability: carbon atoms from dark blue (0 %) through grey to
            yellow (100 %) by the probability that the residue has this place in
            the sequence; or chain {default: probability}

        device = as in edseg_segment

        async = 0/1: wait for the end, or return at once {default: wait in scripts
            and without a window, return at once when typed in the window}

        weights, orientations = as in edseg_segment

    EXAMPLE

        edseg_load_map data.mtz
        edseg_build data, sequence=protein.fasta

    SEE ALSO

        edseg_segment, edseg_check, edseg_cancel
    """
    async_, quiet = parse_whole(kwargs.pop("async", async_), "async"), int(quiet)
    no_more(kwargs, "edseg_build")
    if color not in COLORS:
        raise CmdException(f"color is one of {', '.join(COLORS)}, not {color!r}.")
    prepared = prepare(_self, map_obj, resolution)
    words = map_words(_self, map_obj, prepared, state_of(_self).resolutions.source(_self, map_obj))
    options = network_options(_self, device, weights, orientations)
    content = contents(_self, residues, sequence)
    most = ["--cycles", f"{parse_number(cycles, 'cycles'):g}"] if cycles != "" else []
    name = new_name(_self, name, STEM, PARTS)

    def arguments(folder: Path) -> list[str]:
        return [*words(folder), *options, *content(folder), *most]

    task = BUILD if color == "probability" else replace(BUILD, finish=_finish_by_chain)
    start(_self, task, name, prepared, arguments, async_, quiet)
    return name


def _finish_by_chain(cmd: Any, run: Run) -> str:
    text = finish_build(cmd, run)
    util.color_chains(f"%{run.name} and elem C", _self=cmd)
    return text
