"""Read a density map of any supported format, compressed or not."""

from __future__ import annotations

import math
from pathlib import Path

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import MapFormatError, OptionError, ResolutionError
from edseg_engine.io.ccp4 import read_ccp4
from edseg_engine.io.files import opened
from edseg_engine.io.map_coefficients import map_of_tables
from edseg_engine.io.names import shown
from edseg_engine.io.reflections import read_tables


def read_map(
    path: Path | str, *, resolution: float | None = None, f_label: str | None = None, phi_label: str | None = None
) -> DensityMap:
    """Read a density map from a file; its content decides on the format.

    Parameters
    ----------
    path
        MTZ, structure-factor mmCIF, CCP4 or MRC file; each also compressed with gzip.
    resolution
        d_min in Å, in place of the resolution in the file. Reflections finer than it are left out.
    f_label, phi_label
        Columns of the map coefficients in a reflection file; None finds the usual ones.

    Returns
    -------
    DensityMap
        Without `d_min` if neither the file nor the caller gives it.

    Raises
    ------
    MapFormatError
        There is no such file, or it is none of these formats, or damaged.
    MapContentError
        The file was read, but holds no density: NaNs, a constant, an absurd cell.
    PhaseError
        Reflections without the columns that a map needs.
    ResolutionError
        `resolution` is no positive number, or no reflections are left at it.
    OptionError
        Columns were named for a file that has none.
    DeviceError
        There is not enough memory for the map.
    """
    path = Path(path)
    name = shown(path.name)
    if resolution is not None and not (0 < resolution < math.inf):
        raise ResolutionError(f"The resolution must be a positive number of Å, not {resolution:g}.")
    with opened(path) as file:
        head = file.read(4096)
        if not head:
            raise MapFormatError(f"{name} is empty.")
        tables = read_tables(file, name, head)
        if tables is not None:
            file_format = "MTZ" if head[:4] == b"MTZ " else "mmCIF"
            return map_of_tables(tables, name, file_format, resolution, f_label, phi_label)
        if head[208:212] != b"MAP ":
            raise MapFormatError(f"{name} is no density map: neither CCP4/MRC, MTZ nor structure-factor mmCIF.")
        if f_label or phi_label:
            raise OptionError(f"{name} is a map, not reflections: it has no columns to choose from.")
        return read_ccp4(file, name, resolution)
