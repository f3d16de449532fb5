"""Measured amplitudes, as refinement needs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """What was measured of a crystal, as the file holds it.

    Attributes
    ----------
    miller
        int32, shape (n, 3): Miller indices of the reflections that have a value.
    f, sigf
        float32, shape (n,): amplitudes, or intensities if `intensities`, and their standard uncertainties, NaN where
        one is missing; None if the file has none.
    free
        bool, shape (n,): the test set, None if the file has none.
    hl
        float32, shape (n, 4): Hendrickson-Lattman coefficients A, B, C, D, NaN where they are missing; None if the
        file has none.
    cell, spacegroup
        Unit cell (Å, degrees) and space group.
    labels
        Columns that were read: of `f`, of `sigf`, of the flags and of `hl`.
    intensities
        Whether `f` and `sigf` are intensities, because the file has no amplitudes.
    """

    miller: NDArray[np.int32]
    f: NDArray[np.float32]
    sigf: NDArray[np.float32] | None
    free: NDArray[np.bool_] | None
    hl: NDArray[np.float32] | None
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    labels: tuple[str, ...]
    intensities: bool = False


def read_amplitudes(path: Path | str) -> Amplitudes | None:
    """Read the columns F, SIGF and FREE of an MTZ file; None if there are none."""
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except (OSError, RuntimeError):
        return None
    columns = {column.label: np.array(column, np.float32) for column in mtz.columns}
    f = next((name for name in ("F", "FP") if name in columns), None)
    if f is None or mtz.spacegroup is None:
        return None
    known = np.isfinite(columns[f])
    flags = next((name for name in ("FREE", "FreeR_flag") if name in columns), None)
    hl = ("HLA", "HLB", "HLC", "HLD")
    return Amplitudes(
        mtz.make_miller_array()[known],
        columns[f][known],
        columns[f"SIG{f}"][known] if f"SIG{f}" in columns else None,
        columns[flags][known] == 0 if flags else None,
        np.stack([columns[name] for name in hl], 1)[known] if hl[0] in columns else None,
        mtz.cell,
        mtz.spacegroup,
        (f,),
    )
