"""Whether two models are of one crystal, and what its symmetry is."""

from __future__ import annotations

import gemmi
import numpy as np

from edseg_engine.crystal.symmetry import Symmetry
from edseg_engine.errors import ModelFormatError

#: Edges that differ by less than this share, and angles by less than this many degrees, are the same: programs refine
#: and round cells.
_SAME_EDGE, _SAME_ANGLE = 0.01, 1.0
_NUMBERS = ("a", "b", "c", "alpha", "beta", "gamma")


def common_symmetry(built: gemmi.Structure, true: gemmi.Structure) -> Symmetry:
    """Return the symmetry of the crystal that two models are of: that of the true one as far as its file says.

    Raises
    ------
    ModelFormatError
        If their cells or space groups differ, or a space group is unknown or in neither file.
    """
    known = [s for s in (true, built) if s.cell.is_crystal()]
    if not known:
        return Symmetry(gemmi.UnitCell(), gemmi.SpaceGroup("P 1"), periodic=False)
    if len(known) == 2 and (differences := _differences(built.cell, true.cell)):
        raise ModelFormatError(
            f"The models are of different crystals: the cell has {'; '.join(differences)}. Move the built model "
            "into the cell of the true one, or compare it with the true model of its own data."
        )
    groups = [_space_group(structure) for structure in known if structure.spacegroup_hm.strip()]
    if not groups:
        raise ModelFormatError(f"{known[0].name} has a unit cell and no space group: write it into the file.")
    if groups[0].xhm() != groups[-1].xhm():
        raise ModelFormatError(
            f"The built model has the space group {groups[-1].xhm()}, the true one {groups[0].xhm()}. If they are of "
            "one crystal, give the built model the space group of the true one, in the same setting."
        )
    return Symmetry(known[0].cell, groups[0])


def _space_group(structure: gemmi.Structure) -> gemmi.SpaceGroup:
    group = structure.find_spacegroup()
    if group is None:
        raise ModelFormatError(f"{structure.name} has the unknown space group {structure.spacegroup_hm!r}.")
    return group


def _differences(built: gemmi.UnitCell, true: gemmi.UnitCell) -> list[str]:
    ours, theirs = np.array(built.parameters), np.array(true.parameters)
    allowed = np.where(np.arange(6) < 3, _SAME_EDGE * theirs, _SAME_ANGLE)
    units = ("Å", "Å", "Å", "°", "°", "°")
    return [
        f"{name} = {a:g} {unit} in the built model and {b:g} {unit} in the true one"
        for name, a, b, unit, limit in zip(_NUMBERS, ours, theirs, units, allowed, strict=True)
        if abs(a - b) > limit
    ]
