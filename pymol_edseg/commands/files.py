"""Commands that read and write files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pymol import CmdException, cmd

from pymol_edseg import storage
from pymol_edseg.commands.common import find_result, new_name, parse_number, preference, user_errors
from pymol_edseg.console import application, say
from pymol_edseg.engine import EngineError, find_engine
from pymol_edseg.export import FORMATS, WHAT, exported
from pymol_edseg.focus import MESH, show_map
from pymol_edseg.loading import STEM, load
from pymol_edseg.records import MapReference
from pymol_edseg.resolutions import Reflections
from pymol_edseg.state import state_of


def edseg_load(folder: str = "", name: str = "", map_obj: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> str:
    """
    DESCRIPTION

        Loads results from disk: an output directory of "edseg segment", or a run
        of edseg_segment with all decisions, for instance after a crash.

    USAGE

        edseg_load [ folder [, name [, map_obj ]]]

    ARGUMENTS

        folder = directory of the results {default: the last run}

        name = name of the results {default: edseg_1, edseg_2, ...}

        map_obj = map object that they belong to; surfaces are drawn at its level

    NOTES

        Surfaces are available for results made with the option --voxels.

    EXAMPLE

        edseg_load map-edseg, map_obj=map

    SEE ALSO

        edseg_segment, edseg_export
    """
    kept = storage.kept_runs()
    if not folder and not kept:
        raise CmdException(f"There is no earlier run in {storage.runs_folder()}; name a folder.")
    path = Path(_self.exp_path(folder)).resolve() if folder else kept[-1]
    for result in state_of(_self).live(_self).values():
        if result.folder == path:
            raise CmdException(f"These results are already open as {result.name}.")
    name = new_name(_self, name, STEM)
    with user_errors(ValueError):
        result = load(_self, name, path, MapReference(map_obj) if map_obj else None)
    say(f"{name}: {len(result.proposals)} residues from {path}.", int(quiet))
    return name


def edseg_load_map(
    file: str,
    name: str = "",
    resolution: str | float = "",
    f: str = "",
    phi: str = "",
    quiet: str | int = 1,
    *,
    _self: Any = cmd,
) -> str:
    """
    DESCRIPTION

        Loads reflections as a map, which open-source PyMOL cannot do, and
        remembers their resolution. The map is shown as NAME_mesh, at 1.5 standard
        deviations. Returns the name of the map.

    USAGE

        edseg_load_map file [, name [, resolution [, f [, phi ]]]]

    ARGUMENTS

        file = MTZ or structure-factor mmCIF file, also compressed with gzip

        name = name of the map object {default: from the file}

        resolution = leave out reflections finer than this, in A

        f, phi = columns of the map coefficients {default: the usual names}

    EXAMPLE

        edseg_load_map data.mtz
        edseg_segment data

    SEE ALSO

        edseg_segment
    """
    path = Path(_self.exp_path(file)).resolve()
    name = new_name(_self, name or _self.get_legal_name(path.name.split(".")[0]), parts=("", MESH))
    options = [word for key, value in (("--f", f), ("--phi", phi)) if value for word in (key, value)]
    if resolution != "":
        options += ["--resolution", f"{parse_number(resolution, 'resolution'):g}"]
    app = application()
    with user_errors(EngineError, OSError), tempfile.TemporaryDirectory(prefix="edseg-") as folder:
        target = Path(folder) / "map.ccp4"
        d_min = find_engine(preference).convert(path, target, options, app.processEvents if app else lambda: None)
        _self.load(str(target), name, quiet=1)
        show_map(_self, name)
        source = Reflections.of(path, tuple(options))
    if d_min is not None:
        state_of(_self).resolutions.remember(_self, name, round(d_min, 2), source)
    say(f"{name}: {path.name}" + (f", {d_min:.2f} A." if d_min else "."), int(quiet))
    return name


def edseg_export(file: str, what: str = "all", name: str = "", quiet: str | int = 1, *, _self: Any = cmd) -> int:
    """
    DESCRIPTION

        Writes labelled centroids to a file. Returns the number of residues in it.

    USAGE

        edseg_export file [, what [, name ]]

    ARGUMENTS

        file = name ending in .pdb, .cif, .csv, .pml or .py. A .pml script shows the
            centroids in a PyMOL that has no plugin; a .py script labels them in
            Coot, with a list to go through them.

        what = all, accepted or undecided {default: all}

        name = name of the result {default: the last one}

    EXAMPLE

        edseg_export residues.cif, accepted

    SEE ALSO

        edseg_accept, edseg_load
    """
    result = find_result(_self, name)
    path = Path(_self.exp_path(file))
    form = path.suffix.lower().lstrip(".").replace("mmcif", "cif").replace("ent", "pdb")
    if form not in FORMATS:
        raise CmdException(f"{path.name} must end in .{', .'.join(FORMATS)}.")
    if what not in WHAT:
        raise CmdException(f"what is one of {', '.join(WHAT)}, not {what!r}.")
    text, count = exported(result, what, form)
    if not count:
        raise CmdException(f"{result.name} has no residue to export ({what}).")
    if not path.parent.is_dir():
        raise CmdException(f"There is no folder {path.parent} to write {path.name} to.")
    try:
        storage.write_text(path, text)
    except OSError as error:
        raise CmdException(f"Cannot write {path}: {error.strerror}.") from error
    say(f"{count} residues written to {path}.", int(quiet))
    return count
