"""Which structures belong to the data of the thesis (section 4.1), and in which of its folds (5.3.3) they are."""

from __future__ import annotations

import hashlib

import gemmi

from edseg_engine.labels import type_of_residue

#: Folds of the cross-validation.
N_FOLDS = 5


def unmet_criterion(structure: gemmi.Structure) -> str | None:
    """Return why a structure is not one of the thesis's, or None if it is: X-ray, protein only, no ligand, a monomer.

    What a file does not say is taken from its atoms: a crystal's model was measured with X-rays, and one chain in the
    asymmetric unit is a monomer. Waters are no ligands, ions are.
    """
    method = dict(structure.info).get("_exptl.method", "")
    if method and "X-RAY" not in method.upper():
        return f"its method is {method.capitalize()}, not X-ray diffraction"
    if not method and not structure.cell.is_crystal():
        return "it has no crystal"
    chains = set()
    for chain in structure[0]:
        for residue in chain:
            kind = gemmi.find_tabulated_residue(residue.name)
            if type_of_residue(residue.name) is not None:
                chains.add(chain.name)
            elif kind.is_nucleic_acid():
                return f"it has nucleic acid ({residue.name} in chain {chain.name})"
            elif not kind.is_water():
                return f"it has a ligand ({residue.name} in chain {chain.name})"
    if len(chains) != 1:
        return f"it has {len(chains)} protein chains" if chains else "it has no protein"
    known = [assembly.oligomeric_details for assembly in structure.assemblies if assembly.oligomeric_details]
    if known and not known[0].lower().startswith("mono"):
        return f"its assembly is {known[0].lower()}, not a monomer"
    return None


def fold_of(name: str, n: int = N_FOLDS) -> int:
    """Return the fold, 1 to `n`, of the protein of this name: the same in every set of proteins, on every machine.

    The thesis split over proteins, too. Proteins of similar sequence may be in different folds.
    """
    return int(hashlib.sha256(name.lower().encode()).hexdigest(), 16) % n + 1
