"""Side chains in Coot's engine that are fitted anew, by rotamers and by turning them into the density."""

from __future__ import annotations

import gemmi
import numpy as np

from edseg_engine.building.coot_session import Session, table
from edseg_engine.building.records import FloatArray
from edseg_engine.building.side_chains import conformations, side_chain_atoms
from edseg_engine.residues.conformers import atoms_by_name

#: Side chains are fitted anew whose conformation is less probable (%), or whose mean density is less than this share of
#: the median of the main chain. They are turned to where it is at least the other share.
_POOR_ROTAMER, _POOR_DENSITY, _LEAST_DENSITY = 1.0, 0.5, 0.35
#: The mean density must grow by this factor for a side chain to leave what rotamers there are, and may fall to this one
#: for a probable conformation in place of an improbable.
_BETTER, _AS_GOOD = 1.15, 0.95
#: Conformations that are looked at, share of the density that one must have before it is refined, and steps of that.
_TRIED, _UNREFINED, _STEPS = 10, 0.7, 100
#: Å within which no other residue may be, after refinement and before.
_ROOM, _ROOM_UNREFINED = 2.4, 2.0


class SideChains(Session):
    """What concerns side chains. `median` is the density of the median main chain."""

    median: float

    def mend_side_chains(self) -> None:
        """Fit side chains anew that are unlikely or lie outside the density; they stay if they do not fit better."""
        for chain, number, probability in table(self.coot.rotamer_analysis(self.model)):
            residue = self.residues(chain).get(number)
            names = side_chain_atoms(residue.name, [*atoms_by_name(residue)]) if residue else []
            if residue is None or not names:
                continue
            density = self.density(residue, names)
            if density < _POOR_DENSITY * self.median:
                least = max(_BETTER * density, _LEAST_DENSITY * self.median)
                self.turn_side_chain(chain, residue, names, least)
            elif probability < _POOR_ROTAMER:
                self.take(chain, self.refitted(chain, number), names, _AS_GOOD * density)

    def turn_side_chain(self, chain: str, residue: gemmi.Residue, names: list[str], least: float) -> None:
        """Turn a side chain to where there is at least so much density, and room, if there is such a place."""
        number = int(residue.seqid.num or 0)
        for conformation in conformations(residue.name, positions_of(residue), self.capped_density)[:_TRIED]:
            positions = np.stack([*conformation.values()])
            if self.capped_density(positions).mean() < _UNREFINED * least:
                return
            if self.in_the_way(chain, number, positions, _ROOM_UNREFINED) is not None:
                self.take(chain, self.refitted(chain, number, conformation), names, least)
                return

    def capped_density(self, positions: FloatArray) -> FloatArray:
        """Return the density (n,) at positions (n, 3), cut at that of well-defined ones: more is another's."""
        values = [self.coot.get_density_at_position(self.map, *position) for position in positions.tolist()]
        return np.minimum(values, self.median)

    def refitted(self, chain: str, number: int, side_chain: dict[str, FloatArray] | None = None) -> gemmi.Residue:
        """Return a residue with a side chain, else with the rotamer that fits best, refined in the map."""
        part = self.coot.copy_fragment_using_residue_range(self.model, chain, number - 1, number + 1)
        if side_chain is None:
            self.coot.auto_fit_rotamer(part, chain, number, "", "", self.map)
        else:
            self.move(part, chain, number, side_chain)
        self.coot.refine_residues_using_atom_cid(part, f"//{chain}/{number}", "SINGLE", _STEPS)
        residue = self.read(part)[0][chain][str(number)][0]
        self.coot.close_molecule(part)
        return residue

    def take(self, chain: str, fitted: gemmi.Residue, names: list[str], least: float) -> None:
        """Put a refitted residue into the model if its side chain has at least so much density, and room.

        Waters in its place are removed.
        """
        number = int(fitted.seqid.num or 0)
        atoms = positions_of(fitted)
        waters = self.in_the_way(chain, number, np.stack([atoms[name] for name in names]), _ROOM)
        if waters is None or self.density(fitted, names) < least:
            return
        for water, place in waters:
            self.coot.delete_residue(self.model, water, place, "")
        self.move(self.model, chain, number, atoms)
        residue = self.residues(chain)[number]
        for name, position in atoms.items():
            residue[name][0].pos = gemmi.Position(*position)

    def in_the_way(self, chain: str, number: int, positions: FloatArray, room: float) -> set[tuple[str, int]] | None:
        """Return the waters within `room` Å of positions (n, 3) of a side chain; None if other residues are, too."""
        search = gemmi.NeighborSearch(self.structure[0], self.structure.cell, 5.0).populate()
        waters: set[tuple[str, int]] = set()
        for position in positions.tolist():
            for mark in search.find_atoms(gemmi.Position(*position), "\0", radius=room):
                near = mark.to_cra(self.structure[0])
                place = near.chain.name, int(near.residue.seqid.num or 0)
                if near.residue.is_water():
                    waters.add(place)
                elif place != (chain, number):
                    return None
        return waters

    def move(self, model: int, chain: str, number: int, atoms: dict[str, FloatArray]) -> None:
        """Move atoms (by name, to positions (3,) in Å) of a residue of a model of the engine."""
        moved = [self.moved_atom(f" {name:<3}", "", *position) for name, position in atoms.items()]
        self.coot.new_positions_for_residue_atoms(model, f"//{chain}/{number}", moved)


def positions_of(residue: gemmi.Residue) -> dict[str, FloatArray]:
    """Return the positions (3,) in Å of the atoms of a residue by their names."""
    return {name: np.array(atom.pos.tolist()) for name, atom in atoms_by_name(residue).items()}
