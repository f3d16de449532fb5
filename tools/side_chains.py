"""Write the library of side chains: ``python -m tools.side_chains --structures DIR``.

The conformations of each amino acid in structures of the training split, in the frame of the main chain, are grouped by
K-Means; the one nearest to the mean of each group stands for it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from edseg_engine import improvement
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.improvement.side_chains import LIBRARY
from edseg_engine.inference.frames import CA, axes_of
from edseg_engine.io.output import output_file
from edseg_engine.residues.conformers import atoms_by_name
from tools.command import run_tool

#: Conformations of each amino acid.
_CONFORMATIONS = {
    "ALA": 1, "SER": 3, "CYS": 3, "PRO": 3, "THR": 4, "VAL": 4, "ILE": 8, "LEU": 8, "ASP": 8, "PHE": 8, "TYR": 8,
    "ASN": 10, "HIS": 12, "TRP": 12, "GLU": 30, "GLN": 30, "MET": 30, "LYS": 50, "ARG": 60,
}  # fmt: skip
#: Structures that are looked at, no coarser than this (Å), and most examples of an amino acid.
_STRUCTURES, _RESOLUTION, _EXAMPLES = 300, 2.0, 6000
_MAIN_CHAIN = ("N", "CA", "C")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser("python -m tools.side_chains", description="Write the library of side chains.")
    parser.add_argument("--structures", type=Path, required=True, help="folder of structures to train on")
    parser.add_argument("--out", type=Path, default=Path(improvement.__file__).with_name(LIBRARY))
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Write the library."""
    packs = structures_of_split(args.structures, "train")
    places = [(pack, i) for pack in packs for i in range(len(pack))]
    np.random.default_rng(1).shuffle(places)
    structures = (pack[i] for pack, i in places)
    good = (s for s in structures if 0 < s.resolution <= _RESOLUTION)
    examples: dict[str, list[tuple[tuple[str, ...], NDArray[np.float64]]]] = {name: [] for name in _CONFORMATIONS}
    for structure, _ in zip(good, range(_STRUCTURES), strict=False):
        for chain in structure[0]:
            for residue in chain:
                if residue.name in examples and (example := _side_chain(residue)) is not None:
                    examples[residue.name].append(example)
    n_all = sum(map(len, examples.values()))
    library = {name: _conformations(name, found, n_all) for name, found in examples.items() if found}
    with output_file(args.out) as file:
        file.write_text(json.dumps(library, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="ascii")


def _side_chain(residue: gemmi.Residue) -> tuple[tuple[str, ...], NDArray[np.float64]] | None:
    """Return the names of the atoms from CB on, and their positions (m, 3) in the frame of the main chain."""
    atoms = atoms_by_name(residue)
    names = tuple(sorted(set(atoms) - {*_MAIN_CHAIN, "O", "OXT"}))
    if not names or not set(_MAIN_CHAIN) <= set(atoms):
        return None
    main_chain, side_chain = (np.array([atoms[n].pos.tolist() for n in of]) for of in (_MAIN_CHAIN, names))
    return names, (side_chain - main_chain[CA]) @ axes_of(main_chain[None])[0]


def _conformations(
    name: str, examples: list[tuple[tuple[str, ...], NDArray[np.float64]]], n_all: int
) -> dict[str, object]:
    atoms, _ = Counter(names for names, _ in examples).most_common(1)[0]
    positions = np.array([xyz for names, xyz in examples if names == atoms][:_EXAMPLES])
    flat = positions.reshape(len(positions), -1)
    groups = KMeans(min(_CONFORMATIONS[name], len(flat)), n_init=2, random_state=0).fit(flat)
    sizes = np.bincount(groups.labels_) / len(flat)
    return {
        "atoms": atoms,
        "positions": positions[groups.transform(flat).argmin(0)].round(2).tolist(),
        "shares": (sizes * len(examples) / n_all).round(7).tolist(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
