"""What a run is asked for and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edseg_engine.building.records import Address, FloatArray, Fragment, Model
from edseg_engine.errors import OptionError
from edseg_engine.options import MOST_CYCLES

#: Side chains less probable (%) than this are outliers.
_ROTAMER_OUTLIER = 0.3


@dataclass(frozen=True)
class Checks:
    """What Coot thinks of a model.

    Attributes
    ----------
    correlation
        By (chain, number): correlation of the residue's atoms with the map.
    rotamer
        By (chain, number): probability (%) of the side chain's conformation, of residues that have one.
    ramachandran
        By (chain, number): whether the main chain's conformation is allowed.
    n_clashes
        Pairs of atoms, neither bonded nor in a hydrogen bond, whose spheres overlap by more than 2 Å³; None, with all
        else empty, if the model could not be checked.
    """

    correlation: Mapping[Address, float]
    rotamer: Mapping[Address, float]
    ramachandran: Mapping[Address, bool]
    n_clashes: int | None

    @property
    def n_ramachandran_outliers(self) -> int:
        return sum(not allowed for allowed in self.ramachandran.values())

    @property
    def n_rotamer_outliers(self) -> int:
        return sum(probability < _ROTAMER_OUTLIER for probability in self.rotamer.values())


@dataclass(frozen=True)
class BuildOptions:
    """Options of a run.

    Attributes
    ----------
    sequences
        One-letter code of each chain; one that occurs twice has two copies. None leaves the chains without register.
    residues
        Number of residues in the asymmetric unit; None derives it from the sequences and what is found.
    cycles
        At most so many times a map is read: that of the file, and those of the models that were built.
    refine
        Whether to refine against the amplitudes of the file, if it has any.
    around
        CA positions (n, 3) in Å of a known part of the model: the new one is put around it.
    resolution
        d_min in Å in place of what the file says; finer reflections are left out, also of the refinement.
    f_label, phi_label
        Columns of the map coefficients; None finds the usual ones.
    """

    sequences: tuple[str, ...] = ()
    residues: int | None = None
    cycles: int = MOST_CYCLES
    refine: bool = True
    around: FloatArray | None = None
    resolution: float | None = None
    f_label: str | None = None
    phi_label: str | None = None

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise OptionError(f"The number of cycles must be at least 1, not {self.cycles}.")
        if self.residues is not None and self.residues < 1:
            raise OptionError(f"The number of residues must be at least 1, not {self.residues}.")


@dataclass(frozen=True)
class Cycle:
    """What one cycle came to: residues found, in the sequence, and built; R-factors if there are amplitudes."""

    found: int
    docked: int
    built: int
    r_work: float | None
    r_free: float | None


@dataclass(frozen=True, eq=False)
class BuildResult:
    """A model and what is to be known of it.

    Attributes
    ----------
    model
        The best one, by R-free.
    checks
        Fit to the map and shapes.
    cycles
        One entry a cycle.
    best
        Index of the cycle that the model comes from.
    r_work, r_free
        Of the model in the end, with waters; None without amplitudes.
    undocked
        Fragments without a sure place in the sequence, as they were found. With amplitudes, those that are in
        nothing's way are in the model as alanines.
    reflections
        Content of an MTZ file with 2mFo-DFc and mFo-DFc; None without amplitudes.
    source
        What was read.
    timings
        Seconds of each stage.
    warnings
        Sentences for the user.
    """

    model: Model
    checks: Checks
    cycles: tuple[Cycle, ...]
    best: int
    r_work: float | None
    r_free: float | None
    undocked: tuple[Fragment, ...]
    reflections: bytes | None
    source: dict[str, object]
    resolution: float | None
    timings: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def n_waters(self) -> int:
        return sum(residue.is_water() for chain in self.model.structure[0] for residue in chain)
