"""How wrong phases are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edseg_engine.crystal.phasing import Complex


def phase_error(coefficients: Complex, truth: Complex, weights: NDArray[np.float32]) -> float:
    """Return the mean difference of the phases of coefficients and true ones (n,), weighted, in degrees."""
    return float(np.degrees(np.average(np.abs(np.angle(coefficients * truth.conj())), weights=weights)))
