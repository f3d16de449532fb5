"""The fixed-resolution data of the thesis: maps without errors of single molecules, and windows of them (4.1, 4.2).

edseg itself is trained on crystals instead (`edseg_engine.dataset.simulate`). These are for comparison with the thesis.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.dataset.simulate import SimulationOptions, simulate_map
from edseg_engine.labels import TYPES, type_of_residue
from edseg_engine.residues.known import KnownResidues, known_residues

#: Distance (Å) from an atom beyond which density is removed.
CULLING = 3.0
#: Density below this, in standard deviations of the crystal's map, is background.
THRESHOLD = 1.5
#: Normalised densities above this quantile are clamped to it.
CLAMP = 0.98
#: No errors, and B-factors as deposited.
SIMULATION = SimulationOptions(noise_free=True, deposited_b=True, solvent=(0.35, 0.35))

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class FixedSet:
    """The maps of one resolution.

    Attributes
    ----------
    d_min
        Resolution in Å; two voxels.
    window
        Edge of a window in voxels.
    frame
        Width l_frame in voxels of the border of a window where residues may be cut (thesis 5.2.2).
    """

    d_min: float
    window: int
    frame: int

    @property
    def spacing(self) -> float:
        """Å between voxels."""
        return self.d_min / 2

    @property
    def edge(self) -> float:
        """Edge of a window in Å."""
        return self.window * self.spacing

    def windows(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[NDArray[np.float64], Shape]:
        """Return where the first voxel (3,) of windows around a box of density lies, in Å, and their number per axis.

        What is inside the frames of the windows covers the box. Neighbours are two frames apart, as in the thesis's
        inference; how it cut windows to train on it does not say.
        """
        inner, stride = (self.window - 2 * self.frame) * self.spacing, 2 * self.frame * self.spacing
        n = np.maximum(1, np.ceil((high - low - inner) / stride) + 1)
        spare = inner + (n - 1) * stride - (high - low)
        nx, ny, nz = (int(x) for x in n)
        return low - spare / 2 - self.frame * self.spacing, (nx, ny, nz)


#: The three sets of the thesis, and the frames of its networks (5.2.2).
SETS = tuple(FixedSet(*numbers) for numbers in ((2.0, 48, 8), (3.0, 48, 6), (4.0, 36, 4)))


@dataclass(frozen=True)
class WindowSet:
    """The windows of a protein that have a residue in them.

    Attributes
    ----------
    origin
        Position (3,) in Å of the first voxel of the box that all windows cover together.
    shape
        Voxels of that box.
    starts
        shape (m, 3): index in it of the first voxel of each window.
    counts
        shape (m, 20): residues of each of `TYPES` whose centroid is in the window.
    """

    origin: NDArray[np.float64]
    shape: Shape
    starts: NDArray[np.intp] = field(repr=False)
    counts: NDArray[np.intp] = field(repr=False)


def windows_of(residues: KnownResidues, fixed: FixedSet) -> WindowSet:
    """Return where the windows of a molecule are and what is in them; no map is needed."""
    atoms = _own_atoms(residues)
    origin, number = fixed.windows(atoms.min(0) - CULLING, atoms.max(0) + CULLING)
    steps = np.argwhere(np.ones(number, bool))
    starts = steps * 2 * fixed.frame
    corners = origin + (starts - 0.5) * fixed.spacing
    offset = residues.centroids[None] - corners[:, None]
    inside = np.all((offset >= 0) & (offset < fixed.edge), axis=-1)
    types = np.array([type_of_residue(name.type) for name in residues.names])
    counts = np.stack([inside[:, types == type_].sum(1) for type_ in TYPES], -1)
    used = counts.sum(1) > 0
    nx, ny, nz = (int(n) for n in fixed.window + 2 * fixed.frame * (np.array(number) - 1))
    return WindowSet(origin, (nx, ny, nz), starts[used], counts[used])


def thesis_map(structure: gemmi.Structure, fixed: FixedSet) -> tuple[DensityMap, WindowSet]:
    """Return the map of one molecule as the thesis's networks see it, in a box without a crystal, and its windows.

    A structure without a crystal is put into a P1 box in place.

    Raises
    ------
    ModelFormatError
        If the structure has no amino acid, or an unknown space group.
    """
    seed = zlib.crc32(structure.name.encode())
    crystal = simulate_map(structure, fixed.d_min, np.random.default_rng(seed), SIMULATION)
    residues = known_residues(structure[0])
    windows = windows_of(residues, fixed)
    values = crystal.sample(windows.origin, None, windows.shape, fixed.spacing)
    values = (values - crystal.values.mean()) / crystal.values.std()
    values = normalised(culled(values, windows.origin, fixed.spacing, _own_atoms(residues)))
    x, y, z = (n * fixed.spacing for n in windows.shape)
    ox, oy, oz = windows.origin.tolist()
    cell = gemmi.UnitCell(x, y, z, 90, 90, 90)
    grid = MapGrid(cell, gemmi.SpaceGroup("P 1"), windows.shape, origin=(ox, oy, oz))
    return DensityMap(values, grid, fixed.d_min, source=crystal.source), windows


def culled(
    values: NDArray[np.float32], origin: NDArray[np.float64], spacing: float, atoms: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return values (nx, ny, nz) with zeros farther than `CULLING` Å from all atoms (n, 3)."""
    voxels = origin + np.argwhere(np.ones(values.shape, bool)) * spacing
    distance = cKDTree(atoms).query(voxels, distance_upper_bound=CULLING, workers=1)[0]
    return np.where(np.isfinite(distance).reshape(values.shape), values, np.float32(0))


def normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return densities as the thesis's networks read them (4.2).

    Those below `THRESHOLD` become zero. Of the others the least is shifted to zero, they are divided by their median,
    and outliers are clamped.
    """
    dense = values >= THRESHOLD
    result = np.zeros_like(values)
    if dense.any():
        density = values[dense] - values[dense].min()
        density /= max(float(np.median(density)), 1e-6)
        result[dense] = np.minimum(density, np.quantile(density, CLAMP))
    return result


def cropped(density: DensityMap, windows: WindowSet, fixed: FixedSet) -> Iterator[NDArray[np.float32]]:
    """Yield the windows (n, n, n) of a map."""
    for x, y, z in windows.starts:
        yield density.values[x : x + fixed.window, y : y + fixed.window, z : z + fixed.window]


def _own_atoms(residues: KnownResidues) -> NDArray[np.float64]:
    """Return the atoms (n, 3) of amino acids."""
    return residues.atoms[residues.residue_of_atom != -1]
