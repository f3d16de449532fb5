"""A model and a map in Coot's engine: what the tasks of `coot_worker` stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi

#: Å between CA that are none.
_CLASH = 3.2
#: Atoms whose mean density tells whether a residue is there, and whether its peptide is turned the right way.
TRACE_ATOMS, PEPTIDE_ATOMS = ("N", "CA", "C"), ("N", "CA", "C", "O")


class Session:
    """A model and a map in the engine, of which a job says the files."""

    def __init__(self, job: dict[str, Any]) -> None:
        import coot_headless_api

        self.job = job
        self.coot = coot_headless_api.molecules_container_t(False)
        self.moved_atom = coot_headless_api.moved_atom_t
        self.coot.set_max_number_of_threads(job["threads"])
        self.coot.set_refinement_is_verbose(False)
        self.coot.set_use_rama_plot_restraints(True)
        if job["f"]:
            self.map = self.coot.read_mtz(job["map"], job["f"], job["phi"], "", False, False)
        else:
            self.map = self.coot.read_ccp4_map(job["map"], False)
        self.model = self.coot.read_pdb(job["model"])
        if self.map < 0 or self.model < 0:
            raise SystemExit("Coot's engine cannot read the map or the model.")
        self.coot.set_imol_refinement_map(self.map)
        self.structure = self.read_back()

    def read_back(self) -> gemmi.Structure:
        """Return the model as it is now."""
        return self.read(self.model)

    def read(self, model: int) -> gemmi.Structure:
        """Return a model of the engine."""
        self.coot.write_coordinates(model, self.job["output"])
        structure = gemmi.read_structure(self.job["output"])
        structure.setup_entities()
        return structure

    def refine(self, cid: str, steps: int) -> None:
        self.coot.refine_residues_using_atom_cid(self.model, cid, "ALL", steps)

    def residues(self, chain: str) -> dict[int, gemmi.Residue]:
        return {int(residue.seqid.num or 0): residue for residue in self.structure[0][chain]}

    def density(self, residue: gemmi.Residue, names: Sequence[str] = TRACE_ATOMS) -> float:
        """Return the mean density at the atoms of these names."""
        found = [residue.find_atom(name, "*") for name in names]
        values = [self.coot.get_density_at_position(self.map, *atom.pos.tolist()) for atom in found if atom]
        return sum(values) / max(1, len(values))

    def median_density(self) -> float:
        values = sorted(self.density(r) for chain in self.job["sequences"] for r in self.residues(chain).values())
        return values[len(values) // 2] if values else 0.0

    def clashes(self, chain: str, number: int) -> bool:
        """Return whether the CA of a residue lies upon another, symmetry copies included."""
        residue = self.residues(chain)[number]
        position = residue.find_atom("CA", "*").pos
        search = gemmi.NeighborSearch(self.structure[0], self.structure.cell, 5.0).populate()
        for mark in search.find_atoms(position, "\0", radius=_CLASH):
            cra = mark.to_cra(self.structure[0])
            same_place = cra.chain.name == chain and cra.residue.seqid.num == number
            if cra.atom.name == "CA" and not (same_place and search.dist(mark.pos, position) < 0.1):
                return True
        return False

    def difference_map(self) -> int | None:
        """Read the difference map, if the job has one; returns the engine's number of it."""
        file = self.job["waters"]
        return self.coot.read_mtz(file["map"], file["f"], file["phi"], "", False, True) if file else None

    def outliers(self) -> set[tuple[str, int]]:
        """Return (chain, number) of the residues whose phi and psi are not allowed."""
        angles = (a for a in self.coot.ramachandran_validation(self.model) if not a.is_allowed_flag)
        return {(a.phi_psi.chain_id, a.phi_psi.residue_number) for a in angles}


def table(analysis: Any) -> list[tuple[str, int, float]]:
    return [
        (chain.chain_id, residue.residue_spec.res_no, residue.function_value)
        for chain in analysis.cviv
        for residue in chain.rviv
    ]


def bond(first: gemmi.Residue, second: gemmi.Residue) -> float:
    """Return the distance (Å) from C to the N of the next residue."""
    c, n = first.find_atom("C", "*"), second.find_atom("N", "*")
    return float(c.pos.dist(n.pos)) if c and n else float("inf")


def progress(fraction: float, message: str) -> None:
    print(f"\n@progress {fraction:.3f} {message}", flush=True)
