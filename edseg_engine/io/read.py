"""Read a density map of any supported format, compressed or not."""

from __future__ import annotations

import gzip
import math
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import MapFormatError, OptionError, ResolutionError
from edseg_engine.io.ccp4 import read_ccp4
from edseg_engine.io.names import shown, utf8_path
from edseg_engine.io.reflections import read_mtz, read_sf_cif

_CIF_START = re.compile(rb"(\s|#[^\n]*\n)*data_", re.IGNORECASE)


def read_map(
    path: Path | str, *, resolution: float | None = None, f_label: str | None = None, phi_label: str | None = None
) -> DensityMap:
    """Read a density map from a file; its content decides on the format.

    Parameters
    ----------
    path
        MTZ, structure-factor mmCIF, CCP4 or MRC file; each also compressed with gzip.
    resolution
        d_min in Å, in place of what the file tells. Reflections finer than it are left out.
    f_label, phi_label
        Columns of the map coefficients in a reflection file; None finds the usual ones.

    Returns
    -------
    DensityMap
        Without `d_min` if neither the file nor the caller told it.

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
    """
    path = Path(path)
    name = shown(path.name)
    if resolution is not None and not (0 < resolution < math.inf):
        raise ResolutionError(f"The resolution must be a positive number of Å, not {resolution:g}.")
    try:
        with _unpacked(path) as plain:
            with plain.open("rb") as file:
                head = file.read(4096)
            if not head:
                raise MapFormatError(f"{name} is empty.")
            if head[:4] == b"MTZ ":
                return read_mtz(plain, name, resolution, f_label, phi_label)
            if _CIF_START.match(head):
                return read_sf_cif(plain, name, resolution, f_label, phi_label)
            if head[208:212] != b"MAP ":
                raise MapFormatError(f"{name} is no density map: neither CCP4/MRC, MTZ nor structure-factor mmCIF.")
            if f_label or phi_label:
                raise OptionError(f"{name} is a map, not reflections: it has no columns to choose from.")
            return read_ccp4(plain, name, resolution)
    except FileNotFoundError as error:
        raise MapFormatError(f"{shown(path)} does not exist.") from error
    except IsADirectoryError as error:
        raise MapFormatError(f"{shown(path)} is a directory; give the file of a map.") from error
    except OSError as error:
        raise MapFormatError(f"{name} cannot be read: {error.strerror or error}.") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Give a file with the uncompressed content of `path`, for as long as the context lasts."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    if not compressed:
        with utf8_path(path) as plain:
            yield plain
        return
    with tempfile.TemporaryDirectory(prefix="edseg-") as folder:
        plain = Path(folder) / "map"
        try:
            with gzip.open(path) as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise MapFormatError(f"{shown(path.name)} is truncated or damaged: it cannot be unpacked.") from error
        yield plain
