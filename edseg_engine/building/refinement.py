"""Refinement of a model against measured amplitudes by servalcat, in a child process."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.building.child import monomer_library, run_child
from edseg_engine.building.records import MapFile
from edseg_engine.io.mtz import Column, write_mtz
from edseg_engine.io.reflections import Amplitudes
from edseg_engine.progress import Progress, ProgressCallback

#: Share of the reflections that is set aside where the file has no test set, and the seed that chooses them.
FREE_SHARE, _FREE_SEED = 0.05, 2026
#: Standard uncertainty of an amplitude where the file has none, as a share of it.
_UNKNOWN_SIGMA = 0.03
#: Beyond this resolution (Å) the weight that servalcat chooses for the data overfits; it starts from this one instead
#: and is adjusted from there.
_COARSE, _COARSE_WEIGHT = 2.6, 3.0
#: Seconds that a refinement may take: at least, and for each reflection and cycle.
_LEAST_TIME, _TIME_PER_REFLECTION = 300.0, 0.003
_CYCLE = re.compile(r"^==+ CYCLE\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Refined:
    """A refined model.

    Attributes
    ----------
    structure
        Without hydrogen atoms.
    r_work, r_free
        One value before the first and one after each cycle.
    density, difference
        2mFo-DFc and mFo-DFc.
    """

    structure: gemmi.Structure
    r_work: tuple[float, ...]
    r_free: tuple[float, ...]
    density: MapFile
    difference: MapFile


def test_set(amplitudes: Amplitudes) -> NDArray[np.bool_]:
    """Return which reflections (n,) are free: those of the file, else a random 5 %, the same in every run.

    Friedel mates and symmetry-equivalent reflections belong together; the file is taken to hold unique ones. The choice
    depends on all of them: it is made before any are cut away.
    """
    if amplitudes.free is not None:
        return amplitudes.free
    order = np.lexsort(amplitudes.miller.T)
    free = np.zeros(len(order), bool)
    free[order] = np.random.default_rng(_FREE_SEED).random(len(order)) < FREE_SHARE
    return free


def write_amplitudes(amplitudes: Amplitudes, path: Path) -> None:
    """Write the amplitudes (or intensities) as an MTZ file with the columns F, SIGF (I, SIGI) and FREE."""
    name, kind = ("I", "J") if amplitudes.intensities else ("F", "F")
    sigma = _UNKNOWN_SIGMA * np.abs(amplitudes.f)
    if amplitudes.sigf is not None:
        sigma = np.where(np.isfinite(amplitudes.sigf), amplitudes.sigf, sigma)
    columns: dict[str, Column] = {
        name: (kind, amplitudes.f),
        f"SIG{name}": ("Q", sigma),
        "FREE": ("I", np.where(test_set(amplitudes), 0, 1)),
    }
    write_mtz(path, amplitudes.cell, amplitudes.spacegroup, amplitudes.miller, columns)


def refine(
    structure: gemmi.Structure,
    amplitudes: Amplitudes,
    folder: Path,
    progress: ProgressCallback,
    *,
    cycles: int,
    anisotropic: bool = False,
) -> Refined:
    """Refine positions and B-factors, with disulphide bonds where they lie and copies of a chain kept alike locally.

    Parameters
    ----------
    structure
        The model.
    amplitudes
        What was measured. The test set is respected, and made if there is none.
    folder
        For temporary files.
    cycles
        Cycles of refinement.
    anisotropic
        Refine anisotropic B-factors, six numbers an atom.
    """
    folder = folder.resolve()
    data, model = folder / "refine-in.mtz", folder / "refine-in.pdb"
    write_amplitudes(amplitudes, data)
    structure.write_pdb(str(model))
    name = "I" if amplitudes.intensities else "F"
    command = [
        *(sys.executable, "-m", "servalcat", "refine_xtal_norefmac", "-s", "xray"),
        *("--hklin", str(data), "--labin", f"{name},SIG{name},FREE", "--free", "0"),
        *("--model", str(model), "--ncycle", str(cycles), "-o", "refined"),
        *("--adp", "aniso" if anisotropic else "iso", "--find_links", "--ncsr"),
        *(
            ("--weight", f"{_COARSE_WEIGHT:g}")
            if float(amplitudes.cell.calculate_d_array(amplitudes.miller).min()) > _COARSE
            else ()
        ),
    ]
    done = 0

    def watch(text: str) -> None:
        nonlocal done
        done += len(_CYCLE.findall(text))
        progress(Progress("refine", min(1.0, done / (cycles + 1))))

    timeout = _LEAST_TIME + _TIME_PER_REFLECTION * len(amplitudes.f) * cycles
    run_child(command, folder, "servalcat", timeout, watch, {"CLIBD_MON": str(monomer_library())})
    statistics = json.loads((folder / "refined_stats.json").read_text(encoding="utf-8"))
    refined = gemmi.read_structure(str(folder / "refined.pdb"))
    refined.remove_hydrogens()
    refined.setup_entities()
    coefficients = folder / "refined.mtz"
    return Refined(
        refined,
        _r_factors(statistics, "work"),
        _r_factors(statistics, "free"),
        MapFile(coefficients, "FWT", "PHWT"),
        MapFile(coefficients, "DELFWT", "PHDELWT"),
    )


def _r_factors(statistics: list[dict[str, Any]], kind: str) -> tuple[float, ...]:
    """Return the R-factor of each cycle: of amplitudes, or of the square roots of intensities."""
    summaries = [cycle["data"]["summary"] for cycle in statistics]
    name = f"R{kind}" if f"R{kind}" in summaries[0] else f"R1{kind}"
    return tuple(float(summary[name]) for summary in summaries)
