"""What runs inside Coot's engine, as a child process: ``python -m edseg_engine.building.coot_worker JOB.json``.

The engine prints to the standard output and may crash, so it has a process of its own. `coot_engine` writes the job and
reads the results; lines beginning with ``@progress`` report how far the work has come.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from edseg_engine.building.coot_session import PEPTIDE_ATOMS, bond, progress, table
from edseg_engine.building.coot_side_chains import SideChains

#: Steps of real-space refinement: of the voted main chain, and around a gap or a peptide.
_MAIN_CHAIN, _GAP = 100, 200
#: Longest gap (residues) that is built from its ends, and most residues added to a free end.
_LONGEST_GAP, _LONGEST_END = 8, 6
#: A new residue stays if its main chain has this share of the median density of the others'.
_GAP_DENSITY, _END_DENSITY = 0.35, 0.55
#: Å between C and N of a peptide bond that is one.
_PEPTIDE = 1.6
#: Peptides are suspected whose O has a difference peak of so many sigma on the other side.
_PEPTIDE_SIGMA = 4.0
#: Atoms clash whose spheres overlap by more than this (Å³).
_CLASH = 2.0
#: Residues without side chains to fit.
_NO_ROTAMERS = frozenset({"ALA", "GLY"})


class Worker(SideChains):
    """The tasks."""

    # Building

    def build(self) -> None:
        """Refine the main chain, build what is missing in the gaps and at the ends, then the side chains."""
        progress(0.0, "main chain")
        self.kept = {(chain, number) for chain, number in self.job["kept"]}
        if self.kept:
            for chain in self.job["sequences"]:
                self.refine_new(chain)
        else:
            self.refine("//", _MAIN_CHAIN)
        progress(0.2, "gaps")
        self.structure = self.read_back()
        self.median = self.median_density()
        self.remove_unseen(self.job["doubtful"])
        for chain, sequence in self.job["sequences"].items():
            self.fill(chain, len(sequence))
        progress(0.3, "peptides")
        self.mend_peptides(self.outliers())
        self.side_chains()
        if self.job["refine"]:
            progress(0.8, "all atoms")
            self.refine("//", self.job["refine"])
        self.structure = self.read_back()

    def refine_new(self, chain: str) -> None:
        """Refine the residues that are not kept, with two neighbours on each side."""
        runs: list[list[int]] = []
        for number in sorted(self.residues(chain)):
            if (chain, number) in self.kept:
                continue
            if runs and number - runs[-1][1] <= 3:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        for first, last in runs:
            self.coot.refine_residue_range(self.model, chain, first - 2, last + 2, _MAIN_CHAIN)

    def remove_unseen(self, doubtful: Iterable[tuple[str, int]]) -> None:
        """Remove those of the residues (chain, number) that have no density."""
        for chain, number in doubtful:
            if self.density(self.residues(chain)[number]) < _END_DENSITY * self.median:
                self.coot.delete_residue(self.model, chain, number, "")
        self.structure = self.read_back()

    def fill(self, chain: str, length: int) -> None:
        numbers = sorted(self.residues(chain))
        for before, after in pairwise(numbers):
            if 1 < after - before <= _LONGEST_GAP + 1 and not self.close(chain, before, after):
                self.extend(chain, before, min(after - 2, before + _LONGEST_END), 1)
                self.extend(chain, after, max(before + 2, after - _LONGEST_END), -1)
            elif after - before > _LONGEST_GAP + 1:
                self.extend(chain, before, before + _LONGEST_END, 1)
                self.extend(chain, after, after - _LONGEST_END, -1)
        self.extend(chain, numbers[0], max(1, numbers[0] - _LONGEST_END), -1)
        self.extend(chain, numbers[-1], min(length, numbers[-1] + _LONGEST_END), 1)

    def close(self, chain: str, before: int, after: int) -> bool:
        """Build the residues between two; return whether they now are one chain, else nothing has changed."""
        ends = [self.residues(chain)[n].find_atom("CA", "*").pos for n in (before, after)]
        if ends[0].dist(ends[1]) > 3.8 * (after - before) + 1.0:
            return False
        saved = self.coot.copy_molecule(self.model)
        for number in range(before, after - 1):
            status, _ = self.coot.add_terminal_residue_directly(self.model, chain, number, "")
            if status != 1:
                break
        else:
            self.coot.refine_residue_range(self.model, chain, before - 1, after + 1, _GAP)
            self.structure = self.read_back()
            residues = self.residues(chain)
            new = range(before + 1, after)
            if (
                all(n in residues for n in new)
                and all(self.density(residues[n]) > _GAP_DENSITY * self.median for n in new)
                and all(bond(residues[n], residues[n + 1]) < _PEPTIDE for n in range(before, after))
                and not any(self.clashes(chain, n) for n in new)
            ):
                self.coot.close_molecule(saved)
                return True
        self.coot.close_molecule(self.model)
        self.model = saved
        self.structure = self.read_back()
        return False

    def extend(self, chain: str, end: int, last: int, step: int) -> None:
        """Add residues to an end as far as there is density for them, up to the number `last`."""
        if step < 0 and end + 1 not in self.residues(chain):
            return  # a residue without neighbours would be extended forwards
        while end * step < last * step:
            status, _ = self.coot.add_terminal_residue_directly(self.model, chain, end, "")
            self.structure = self.read_back()
            residue = self.residues(chain).get(end + step)
            if status != 1 or residue is None:
                return
            if self.density(residue) < _END_DENSITY * self.median or self.clashes(chain, end + step):
                self.coot.delete_residue(self.model, chain, end + step, "")
                self.structure = self.read_back()
                return
            end += step

    def side_chains(self) -> None:
        """Give every new residue the type of the sequence and the rotamer that fits best."""
        todo = []
        for chain, sequence in self.job["sequences"].items():
            for number in sorted(self.residues(chain)):
                if (chain, number) not in self.kept:
                    todo.append((chain, number, sequence[number - 1]))
        for chain, number, name in todo:
            self.coot.mutate(self.model, f"//{chain}/{number}", name)
        for done, (chain, number, name) in enumerate(todo):
            if name not in _NO_ROTAMERS:
                self.coot.auto_fit_rotamer(self.model, chain, number, "", "", self.map)
            progress(0.4 + 0.4 * done / len(todo), "side chains")
        self.structure = self.read_back()

    # Other jobs

    def polish(self) -> None:
        """Build what the refined map shows besides, mend poor main and side chains, add waters.

        Waters go to peaks of the difference map that have sensible contacts.
        """
        progress(0.0, "gaps")
        self.kept = {(chain, number) for chain in self.job["sequences"] for number in self.residues(chain)}
        self.median = self.median_density()
        for chain, sequence in self.job["sequences"].items():
            self.fill(chain, len(sequence))
        self.side_chains()
        progress(0.3, "peptides")
        difference = self.difference_map()
        self.mend_peptides(self.outliers(), self.suspected_peptides(difference))
        progress(0.5, "side chains")
        self.mend_side_chains()
        if difference is not None:
            progress(0.8, "waters")
            self.coot.set_add_waters_sigma_cutoff(self.job["waters"]["sigma"])
            self.coot.add_waters(self.model, difference)
        self.structure = self.read_back()

    def mend_peptides(self, outliers: set[tuple[str, int]], suspected: Iterable[tuple[str, int]] = ()) -> None:
        """Refine around residues (chain, number) with bad angles, then turn peptides where that helps."""
        for chain, number in sorted(outliers):
            self.coot.refine_residue_range(self.model, chain, number - 2, number + 2, _GAP)
        self.structure = self.read_back()
        for chain, number in sorted({*suspected, *(outliers & self.outliers())}):
            self.turn_peptide(chain, number)

    def suspected_peptides(self, difference: int | None) -> list[tuple[str, int]]:
        """Return (chain, number) of residues whose O would fit the difference map better if the peptide were turned."""
        if difference is None:
            return []
        places = self.coot.pepflips_using_difference_map(self.model, difference, _PEPTIDE_SIGMA)
        return [(place.residue_spec.chain_id, place.residue_spec.res_no) for place in places]

    def turn_peptide(self, chain: str, number: int) -> None:
        """Turn the peptide before or after a residue if that leaves fewer outliers there, or a better fit."""
        for first in (number, number - 1):
            before = self.peptide_score(chain, number)
            saved, structure = self.coot.copy_molecule(self.model), self.structure
            self.coot.flip_peptide_using_cid(self.model, f"//{chain}/{first}/C", "")
            self.coot.refine_residue_range(self.model, chain, number - 2, number + 2, _GAP)
            self.structure = self.read_back()
            if self.peptide_score(chain, number) < before:
                self.coot.close_molecule(saved)
                continue
            self.coot.close_molecule(self.model)
            self.model, self.structure = saved, structure

    def peptide_score(self, chain: str, number: int) -> tuple[int, float]:
        """Return the outliers around a residue and minus the density at their main chains: less is better."""
        near = range(number - 2, number + 3)
        residues = self.residues(chain)
        density = sum(self.density(residues[n], PEPTIDE_ATOMS) for n in near if n in residues)
        return len(self.outliers() & {(chain, n) for n in near}), -density

    def validate(self) -> dict[str, Any]:
        """Return how many atoms clash and, per residue, its map correlation, its rotamer's probability (%), and whether
        its phi and psi are allowed.
        """
        overlaps = self.coot.get_atom_overlaps(self.model)
        return {
            "correlation": table(self.coot.density_correlation_analysis(self.model, self.map)),
            "rotamer": table(self.coot.rotamer_analysis(self.model)),
            "ramachandran": [
                (angles.phi_psi.chain_id, angles.phi_psi.residue_number, bool(angles.is_allowed_flag))
                for angles in self.coot.ramachandran_validation(self.model)
            ],
            "clashes": sum(pair.overlap_volume > _CLASH and not pair.is_h_bond for pair in overlaps),
        }


def main(path: str) -> None:
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    worker = Worker(job)
    result = getattr(worker, job["task"])()
    Path(job["report"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
