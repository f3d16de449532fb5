"""Density maps as they come from files: values on the crystal's own grid, with cell, space group and resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import gemmi
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from edseg_engine.crystal.map_grid import MapGrid

#: Fewest grid points along a cell edge: tricubic interpolation reads four.
MIN_SAMPLING = 4


@dataclass(frozen=True, eq=False)
class DensityMap:
    """A density on (a part of) the grid of a unit cell.

    Positions of a map are Å in the frame of its file: those of the grid's cell plus the grid's origin.

    Attributes
    ----------
    values
        float32, shape (nu, nv, nw), axis order u, v, w along a, b, c; any scale and offset. The whole cell when
        `periodic`, else the box that the file covers.
    grid
        Where the values lie. When `periodic` its sampling equals ``values.shape`` and it starts at zero.
    d_min
        Resolution in Å if it is known.
    periodic
        Whether the map is known everywhere in the crystal: it can be read across cell edges.
    source
        What was read, for the report: file, format, columns, ... (JSON values).
    warnings
        What the user should know of how it was read, a sentence each.
    cycle
        1 for a map as it was read; more where its phases were improved, see `edseg_engine.improvement`.
    averaged
        Whether copies of a molecule have something of the mean of their densities.
    """

    values: NDArray[np.float32] = field(repr=False)
    grid: MapGrid
    d_min: float | None = None
    periodic: bool = True
    source: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    cycle: int = 1
    averaged: bool = False

    @property
    def cell(self) -> gemmi.UnitCell:
        """Unit cell (Å, degrees)."""
        return self.grid.cell

    @property
    def spacegroup(self) -> gemmi.SpaceGroup:
        """Space group; P1 where the file has none."""
        return self.grid.spacegroup

    def sample(
        self, origin: ArrayLike, rotation: ArrayLike | None, shape: tuple[int, int, int], spacing: float
    ) -> NDArray[np.float32]:
        """Read the density on an orthogonal box by tricubic interpolation.

        Parameters
        ----------
        origin
            Position (x, y, z) in Å of the box point (0, 0, 0), in the frame of the file.
        rotation
            Matrix (3, 3) whose columns are the directions of the box axes; None is the identity.
        shape
            Number of box points (nx, ny, nz).
        spacing
            Distance in Å of neighbouring box points.

        Returns
        -------
        NDArray[np.float32]
            Shape (nx, ny, nz): the point (i, j, k) lies at ``origin + rotation @ (spacing * (i, j, k))``. A periodic
            map has a value everywhere; outside the box of any other map the values are NaN.
        """
        axes = spacing * (np.eye(3) if rotation is None else np.asarray(rotation, dtype=float))
        first = np.asarray(origin, dtype=float) - self.grid.origin
        grid_start = np.zeros(3) if self.periodic else np.array(self.grid.start) - 1.0
        shift = np.array(self.cell.orth.mat) @ (grid_start / self.grid.sampling)
        result = np.empty(shape, dtype=np.float32)
        transform = gemmi.Transform(gemmi.Mat33(axes.tolist()), gemmi.Vec3(*(first - shift)))
        self._interpolator.interpolate_values(result, transform, order=3)
        if not self.periodic:
            to_index = np.array(self.grid.sampling)[:, None] * np.array(self.cell.frac.mat)
            _mask_outside(result, to_index @ first - self.grid.start, to_index @ axes, self.values.shape)
        return result

    def low_passed(self, d_min: float) -> DensityMap:
        """Return the map without the Fourier terms finer than `d_min` Å.

        A map that covers only a box is continued beyond its faces by its mirror image, so that they do not ring.
        """
        values = _without_fine_terms(self.values, self.cell, d_min) if self.periodic else self._low_passed_box(d_min)
        d_min = max(d_min, self.d_min or 0.0)
        return replace(self, values=values, d_min=d_min, source={**self.source, "d_min": d_min})

    def _low_passed_box(self, d_min: float) -> NDArray[np.float32]:
        lengths = np.array(self.cell.parameters[:3])
        margin = [int(np.ceil(3 * d_min * n / length)) for n, length in zip(self.grid.sampling, lengths, strict=True)]
        shape = [scipy.fft.next_fast_len(n + 2 * m, real=True) for n, m in zip(self.values.shape, margin, strict=True)]
        before = [(full - n) // 2 for full, n in zip(shape, self.values.shape, strict=True)]
        after = [full - n - b for full, n, b in zip(shape, self.values.shape, before, strict=True)]
        mean = self.values.mean(dtype=np.float64)
        padded = np.pad(self.values - np.float32(mean), list(zip(before, after, strict=True)), mode="symmetric")
        for axis, (left, right) in enumerate(zip(before, after, strict=True)):
            window = np.ones(shape[axis], dtype=np.float32)
            window[:left] = np.sin(np.linspace(0, np.pi / 2, left, endpoint=False)) ** 2
            window[shape[axis] - right :] = np.cos(np.linspace(0, np.pi / 2, right)) ** 2
            padded *= window.reshape([-1 if a == axis else 1 for a in range(3)])
        padded = _without_fine_terms(padded, _scaled_cell(self.cell, np.array(shape) / self.grid.sampling), d_min)
        inner = tuple(slice(b, b + n) for b, n in zip(before, self.values.shape, strict=True))
        return padded[inner] + np.float32(mean)

    def __getstate__(self) -> dict[str, object]:
        # gemmi grids cannot be pickled; worker processes build their own.
        return {key: value for key, value in self.__dict__.items() if key != "_interpolator"}

    @cached_property
    def _interpolator(self) -> gemmi.FloatGrid:
        """The values as gemmi interpolates them; a box has one more layer around it, linearly extrapolated."""
        if self.periodic:
            return gemmi.FloatGrid(self.values, self.cell, gemmi.SpaceGroup("P 1"))
        padded = np.pad(self.values, 1, mode="reflect", reflect_type="odd")
        return gemmi.FloatGrid(
            padded, _scaled_cell(self.cell, np.array(padded.shape) / self.grid.sampling), gemmi.SpaceGroup("P 1")
        )


def _scaled_cell(cell: gemmi.UnitCell, factors: NDArray[np.float64]) -> gemmi.UnitCell:
    a, b, c = (length * factor for length, factor in zip(cell.parameters[:3], factors, strict=True))
    return gemmi.UnitCell(a, b, c, cell.alpha, cell.beta, cell.gamma)


def _mask_outside(
    result: NDArray[np.float32], first: NDArray[np.float64], steps: NDArray[np.float64], shape: tuple[int, ...]
) -> None:
    """Set points to NaN whose grid index ``first + steps @ (i, j, k)`` lies outside 0 ... n - 1 of `shape`."""
    tolerance = 1e-3
    j, k = np.arange(result.shape[1])[:, None], np.arange(result.shape[2])[None, :]
    for i, plane in enumerate(result):
        for axis, n in enumerate(shape):
            index = (first[axis] + steps[axis, 0] * i) + steps[axis, 1] * j + steps[axis, 2] * k
            plane[(index < -tolerance) | (index > n - 1 + tolerance)] = np.nan


def _without_fine_terms(values: NDArray[np.float32], cell: gemmi.UnitCell, d_min: float) -> NDArray[np.float32]:
    """Return one period `values`, shape (nu, nv, nw), of a map without its Fourier terms finer than `d_min` Å."""
    terms = scipy.fft.rfftn(values)
    g11, g22, g33, g12, g13, g23 = cell.reciprocal_metric_tensor().elements_pdb()
    nu, nv, nw = values.shape
    k, l = np.fft.fftfreq(nv, 1 / nv)[:, None], np.fft.rfftfreq(nw, 1 / nw)[None, :]  # noqa: E741
    for plane, h in zip(terms, np.fft.fftfreq(nu, 1 / nu), strict=True):
        s_squared = g11 * h * h + g22 * k * k + g33 * l * l + 2 * (g12 * h * k + g13 * h * l + g23 * k * l)
        plane[s_squared > 1 / d_min**2] = 0
    result: NDArray[np.float32] = scipy.fft.irfftn(terms, s=values.shape, overwrite_x=True)
    return result
