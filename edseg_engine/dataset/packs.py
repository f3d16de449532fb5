"""Packs of protein structures: thousands of models in one small file, unpacked one at a time.

A pack is an ``.npz`` of flat arrays over all its structures: atoms (coordinates in 0.02 Å steps as differences along
each structure, low and high bytes apart; B in 0.5 Å² steps; occupancy in hundredths; atomic number; name), residues,
chains and structures (id, cell, space group, resolution). ``docs/training.md`` explains how to use your own structures.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from edseg_engine.errors import TrainingDataError
from edseg_engine.io.coordinates import read_model

_MODEL_NAME = re.compile(r"\.(pdb|ent|cif|mmcif)(\.gz)?$")
_XYZ_STEP, _B_STEP, _OCCUPANCY_STEP = 0.02, 0.5, 0.01


def _starts(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts.astype(np.int64))])


class StructurePack:
    """The structures of one pack; ``pack[i]`` builds the i-th as a `gemmi.Structure`.

    ``.name`` is the id, ``.resolution`` in Å (0 if unknown); ``.cell.is_crystal()`` is False for bare chains.

    Raises
    ------
    TrainingDataError
        If the file is not a pack.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path) as file:
                f = {key: file[key] for key in file.files}
            delta = np.stack([f.pop("dlo"), f.pop("dhi")], -1).view("<i2")[..., 0].T
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise TrainingDataError(f"{path} is not a pack of structures ({error}).") from error
        self._delta, self._f = delta, f
        self._atoms, self._residues, self._chains = (_starts(f[key]) for key in ("rfirst", "cfirst", "sfirst"))
        self._numbers = np.cumsum(f["rnum"])
        self.names: list[str] = [str(name) for name in f["sid"]]
        self.is_crystal: NDArray[np.bool_] = f["cell"][:, 0] > 0
        self.n_atoms: NDArray[np.int64] = np.diff(self._atoms[self._residues[self._chains]])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, s: int) -> gemmi.Structure:
        f = self._f
        structure = gemmi.Structure()
        structure.name, structure.resolution = self.names[s], float(f["resolution"][s])
        if self.is_crystal[s]:
            structure.cell = gemmi.UnitCell(*(float(x) for x in f["cell"][s]))
            structure.spacegroup_hm = str(f["sg"][s])
        first = self._atoms[self._residues[self._chains[s]]]
        last = self._atoms[self._residues[self._chains[s + 1]]]
        xyz = (f["start"][s] + np.cumsum(self._delta[first:last], axis=0, dtype=np.int64)) * _XYZ_STEP
        model = gemmi.Model(1)
        for c in range(self._chains[s], self._chains[s + 1]):
            chain = gemmi.Chain(str(f["cname"][c]))
            for r in range(self._residues[c], self._residues[c + 1]):
                residue = gemmi.Residue()
                residue.name = str(f["rname_values"][f["rname"][r]])
                residue.seqid = gemmi.SeqId(str(int(self._numbers[r])))
                residue.het_flag = "H" if f["rhet"][r] else "A"
                for a in range(self._atoms[r], self._atoms[r + 1]):
                    atom = gemmi.Atom()
                    atom.name = str(f["aname_values"][f["aname"][a]])
                    atom.element = gemmi.Element(int(f["z"][a]))
                    atom.pos = gemmi.Position(*xyz[a - first])
                    atom.b_iso = float(f["b"][a]) * _B_STEP
                    atom.occ = float(f["occ"][a]) * _OCCUPANCY_STEP
                    residue.add_atom(atom)
                chain.add_residue(residue)
            model.add_chain(chain)
        structure.add_model(model)
        structure.setup_entities()
        structure.setup_cell_images()
        return structure


class ModelFolder:
    """The PDB and mmCIF files of a folder, with the same face as a `StructurePack`.

    Raises
    ------
    ModelFormatError
        If one of them cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(p for p in folder.iterdir() if _MODEL_NAME.search(p.name.lower()))
        structures = [read_model(path) for path in self.paths]
        self.names = [path.name.split(".")[0] for path in self.paths]
        self.is_crystal: NDArray[np.bool_] = np.array([s.cell.is_crystal() for s in structures], bool)
        self.n_atoms: NDArray[np.int64] = np.array([s[0].count_atom_sites() for s in structures], np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> gemmi.Structure:
        structure = read_model(self.paths[i])
        structure.remove_hydrogens()
        structure.name = self.names[i]
        return structure


def structures_of_split(folder: Path, split: str) -> Sequence[StructurePack | ModelFolder]:
    """Return the structures of a split: packs ``<split>*.npz`` of a folder, or the models in its folder ``<split>``.

    Raises
    ------
    TrainingDataError
        If there are none.
    """
    paths = sorted(folder.glob(f"{split}*.npz"))
    if paths:
        return [StructurePack(path) for path in paths]
    if (folder / split).is_dir():
        models = ModelFolder(folder / split)
        if len(models):
            return [models]
    raise TrainingDataError(f"{folder} contains neither packs {split}*.npz nor a folder {split} with models.")
