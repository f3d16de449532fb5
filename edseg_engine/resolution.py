"""The three resolution ranges, each with a network of its own (thesis, section 4.1: high, medium, low)."""

from __future__ import annotations

from dataclasses import dataclass

from edseg_engine.errors import ResolutionError


@dataclass(frozen=True)
class ResolutionRange:
    """One range: what its network is trained on and run at.

    Attributes
    ----------
    name
        ``"high"``, ``"medium"`` or ``"low"``.
    d_min, d_max
        Resolutions in Å that the network is trained on. Finer data are low-passed to `d_min`.
    spacing
        Å between voxels. The thesis (4.2) takes two voxels per resolution element, which is 1 Å at 2 Å. Here it is 1 Å
        in every range: residues keep their size in voxels, so that a network can start from the one of the next finer
        range. Trained on better than 2.5 Å only, that network labels maps of 2.5-3.5 Å better at 1 Å than one
        trained on them from scratch at 1.25 Å for as long.
    window
        Edge of a training window in voxels.
    frame
        Width l_frame in Å of the border where windows see residues in part (thesis 5.2.2).
    label_radius
        Å from an atom within which a voxel belongs to the atom's residue.
    """

    name: str
    d_min: float
    d_max: float
    spacing: float
    window: int
    frame: float
    label_radius: float


RANGES: tuple[ResolutionRange, ...] = (
    ResolutionRange("high", 1.8, 2.5, 1.0, window=48, frame=8.0, label_radius=2.0),
    ResolutionRange("medium", 2.5, 3.5, 1.0, window=48, frame=8.0, label_radius=2.2),
    ResolutionRange("low", 3.5, 4.5, 1.0, window=48, frame=8.0, label_radius=2.5),
)
#: One network for all: what is learnt at one resolution is of use at every other.
WIDE = ResolutionRange("wide", 1.8, 4.5, 1.0, window=48, frame=8.0, label_radius=2.1)

#: Finest and coarsest resolution in Å that a map may have.
FINEST, COARSEST = 0.5, 5.0


def range_of_resolution(d_min: float) -> ResolutionRange:
    """Return the range whose network reads maps of this resolution (Å).

    Raises
    ------
    ResolutionError
        If `d_min` is outside `FINEST` to `COARSEST`.
    """
    if not FINEST <= d_min <= COARSEST:
        raise ResolutionError(
            f"A resolution of {d_min:g} Å is outside the {FINEST:g} to {COARSEST:g} Å that edseg can work with; "
            "check the value given as resolution."
        )
    return next((r for r in RANGES if d_min < r.d_max), RANGES[-1])


def range_by_name(name: str) -> ResolutionRange:
    """Return the range called `name`; raises KeyError if there is none."""
    return {r.name: r for r in (*RANGES, WIDE)}[name]
