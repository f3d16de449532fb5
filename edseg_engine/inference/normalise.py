"""One scale for all densities: the same for a map and for a·map + b (a > 0), and for any solvent content.

The thesis (4.2) cuts at a fixed intensity and divides by the median of what is left, which asks for a map in units of
its standard deviation and without solvent. A user's map has neither. The standard deviation of a whole cell changes
with the solvent content although the density of the protein stays the same. The ratio <x^4>/<x^2> does not: flat
solvent adds almost nothing to either sum, so the ratio describes the features of the map wherever they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Density below this, in normalised units, carries no residue: about 0.6 standard deviations of a crystal's map.
DENSITY_THRESHOLD = 0.2
#: Normalised densities are clipped to this range: a heavy atom must not look like a signal of its own.
CLIP = (-2.0, 5.0)

_OUTLIERS = 0.9995
_MAX_SAMPLES = 2_000_000


def density_scale(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return (offset, scale) such that ``(values - offset) / scale`` is normalised.

    Parameters
    ----------
    values
        Density of any shape and unit, not constant; NaNs are left out.
    """
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // _MAX_SAMPLES)]
    flat = flat[np.isfinite(flat)].astype(np.float64)
    offset = float(np.median(flat))
    low, high = np.quantile(flat, [1 - _OUTLIERS, _OUTLIERS]) - offset
    x = np.clip(flat - offset, low, high)
    square = x * x
    return offset, float(np.sqrt((square * square).mean() / square.mean()))


def normalise(values: NDArray[np.float32], offset: float, scale: float) -> NDArray[np.float32]:
    """Return ``(values - offset) / scale`` clipped to `CLIP`; NaNs (unknown density) become zero."""
    out = np.nan_to_num((values - np.float32(offset)) / np.float32(scale), nan=0.0)
    return np.clip(out, *CLIP, out=out)
