"""The files of one run.

``docs/file-formats.md`` describes every file and column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import gemmi

from edseg_engine import __version__
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.mtz import write_map_mtz
from edseg_engine.io.names import shown
from edseg_engine.io.result_files import ResultFiles, seconds, write_table
from edseg_engine.labels import ATOMS, BACKBONE, LABELS, PDB_NAMES
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import ResidueVoxels

SCHEMA = "edseg-result/2"
#: Path of each label's class map below the output directory.
CLASS_MAP_FILES: tuple[str, ...] = tuple(f"class_maps/{label.replace('/', '-')}.ccp4" for label in LABELS)
VOXEL_FILES: tuple[str, ...] = ("voxels.pdb", "density.ccp4")
#: The map of improved phases that was read most surely.
IMPROVED_FILE = "improved.mtz"
#: Where the network votes for atoms.
BACKBONE_FILES: tuple[str, ...] = ("backbone.pdb", "backbone.cif")
#: What each result has.
RESULT_FILES: tuple[str, ...] = ("result.json", "residues.csv", "centroids.pdb", "centroids.cif")
RESULT_OUTPUT = ResultFiles(
    RESULT_FILES[0], (*RESULT_FILES[1:], *BACKBONE_FILES, *VOXEL_FILES, IMPROVED_FILE, *CLASS_MAP_FILES, "class_maps")
)
#: Columns of ``residues.csv``.
COLUMNS: tuple[str, ...] = (
    "id", "x", "y", "z", "label1", "p1", "label2", "p2", "label3", "p3", "confidence", "n_voxels",
    *(f"p_{label}" for label in LABELS),
    *(f"{axis}_{atom}" for atom in BACKBONE for axis in "xyz"),
)  # fmt: skip

#: A chain of a PDB file has room for residues 1 to 9999; more residues continue in the next chain.
_RESIDUES_PER_CHAIN = 9999
_CENTROIDS = "ONE PSEUDO-ATOM PER RESIDUE AT ITS CENTROID."
_BACKBONE = "ATOMS WHERE THE VOXELS OF THEIR RESIDUE VOTE THEM TO BE."
_CHAIN_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def write_results(
    segmentation: Segmentation,
    directory: Path | str,
    *,
    overwrite: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Write the files of a run to `directory`, which is made if it does not exist.

    A failure leaves nothing behind, and an older result untouched; see `edseg_engine.io.output.output_directory`.

    Raises
    ------
    OutputError
        If `directory` holds files (with `overwrite`: files that are no result), or cannot be written.
    """
    content = result_to_json(segmentation)
    with RESULT_OUTPUT.writing(directory, content, overwrite=overwrite, progress=progress) as folder:
        _write_files(segmentation, folder, progress)


def _write_files(segmentation: Segmentation, directory: Path, progress: ProgressCallback) -> None:
    write_table(directory / "residues.csv", COLUMNS, map(_row, segmentation.residues))
    for kind, said in (("centroids", _CENTROIDS), ("backbone", _BACKBONE)):
        structure = _structure(segmentation, kind == "backbone")
        if structure[0].count_atom_sites() or kind == "centroids":
            (directory / f"{kind}.cif").write_text(_mmcif(structure, segmentation), encoding="utf-8")
            (directory / f"{kind}.pdb").write_text(_pdb(structure, segmentation, said), encoding="utf-8")
    if segmentation.voxels is not None:
        lines = _voxel_lines(segmentation.voxels, segmentation.residues)
        (directory / VOXEL_FILES[0]).write_text("".join(lines), encoding="ascii")
        write_ccp4(segmentation.voxels.density.values, segmentation.voxels.density.grid, directory / VOXEL_FILES[1])
    if segmentation.improved is not None:
        write_map_mtz(segmentation.improved, directory / IMPROVED_FILE)
    if segmentation.class_maps is not None:
        (directory / "class_maps").mkdir()
        for label, name in enumerate(CLASS_MAP_FILES):
            write_ccp4(segmentation.class_maps.of_label(label), segmentation.class_maps.grid, directory / name)
            progress(Progress("write", (label + 1) / (len(CLASS_MAP_FILES) + 1), name))


def result_to_json(segmentation: Segmentation) -> dict[str, object]:
    """Return the content of ``result.json``."""
    options = asdict(segmentation.options)
    options["weights"] = None if options["weights"] is None else shown(options["weights"])
    voxels = segmentation.voxels
    return {
        "schema": SCHEMA,
        "engine_version": __version__,
        "input": dict(segmentation.input),
        "options": options,
        "cell": [round(x, 3) for x in segmentation.cell.parameters],
        "spacegroup": segmentation.spacegroup.xhm(),
        "resolution": round(segmentation.resolution, 3),
        "region": segmentation.region,
        "weights": segmentation.weights.to_json(),
        "device": segmentation.device,
        "voxel_spacing": None if voxels is None else voxels.spacing,
        "timings": seconds(segmentation.timings),
        "warnings": list(segmentation.warnings),
        "residues": [
            {
                "id": residue.id,
                "position": [round(x, 3) for x in residue.position],
                "ranks": [{"label": label, "probability": round(p, 4)} for label, p in residue.ranks],
                "probabilities": {
                    label: round(p, 4) for label, p in zip(LABELS, residue.probabilities, strict=True)
                },
                "confidence": round(residue.confidence, 4),
                "n_voxels": residue.n_voxels,
                "atoms": {
                    atom: [round(x, 3) for x in xyz] for atom, xyz in zip(ATOMS, residue.atoms, strict=False)
                },
            }
            for residue in segmentation.residues
        ],
    }  # fmt: skip


def _row(residue: ResidueProposal) -> list[object]:
    return [
        residue.id,
        *(f"{x:.3f}" for x in residue.position),
        *(cell for label, p in residue.ranks for cell in (label, f"{p:.4f}")),
        f"{residue.confidence:.4f}",
        residue.n_voxels,
        *(f"{p:.4f}" for p in residue.probabilities),
        *([f"{x:.3f}" for xyz in residue.atoms[: len(BACKBONE)] for x in xyz] or [""] * 3 * len(BACKBONE)),
    ]


def _address(residue: ResidueProposal) -> tuple[str, int]:
    """Return the chain and residue number in the coordinate files; up to 9999 the number is the id."""
    chain, number = divmod(residue.id - 1, _RESIDUES_PER_CHAIN)
    return _CHAIN_NAMES[chain], number + 1


def residue_of_address(chain: str, number: int) -> int:
    """Return the id of the residue at a chain and number of the coordinate files."""
    return _CHAIN_NAMES.index(chain) * _RESIDUES_PER_CHAIN + number


def _structure(segmentation: Segmentation, backbone: bool) -> gemmi.Structure:
    """Return one pseudo-atom per residue, at its centroid, or its voted `backbone`."""
    structure = gemmi.Structure()
    structure.name = "edseg"
    structure.cell = segmentation.cell
    structure.spacegroup_hm = segmentation.spacegroup.xhm()
    model = gemmi.Model(1)
    for proposal in segmentation.residues:
        chain_name, number = _address(proposal)
        if not len(model) or model[-1].name != chain_name:
            model.add_chain(gemmi.Chain(chain_name))
        residue = gemmi.Residue()
        residue.name = PDB_NAMES[LABELS.index(proposal.ranks[0][0])]
        residue.seqid = gemmi.SeqId(number, " ")
        residue.label_seq = number
        residue.subchain = chain_name
        residue.het_flag = "A"
        atoms = dict(zip(BACKBONE, proposal.atoms, strict=False)) if backbone else {"CA": proposal.position}
        for name, xyz in atoms.items():
            if name == "CB" and residue.name == "GLY":
                continue
            atom = gemmi.Atom()
            atom.name = name
            atom.element = gemmi.Element(name[0])
            atom.pos = gemmi.Position(*(round(x, 3) for x in xyz))
            atom.b_iso = round(100 * proposal.confidence, 2)
            residue.add_atom(atom)
        model[-1].add_residue(residue)
    structure.add_model(model)
    return structure


def _mmcif(structure: gemmi.Structure, segmentation: Segmentation) -> str:
    groups = gemmi.MmcifOutputGroups(False)
    groups.block_name = groups.cell = groups.symmetry = groups.atoms = groups.group_pdb = True
    block = structure.make_mmcif_block(groups)
    loop = block.init_loop(
        "_edseg_residue.",
        ["id", "auth_asym_id", "auth_seq_id", "label_1", "p_1", "label_2", "p_2", "label_3", "p_3", "confidence"],
    )
    for residue in segmentation.residues:
        chain, number = _address(residue)
        ranks = (cell for label, p in residue.ranks for cell in (label, f"{p:.4f}"))
        loop.add_row([str(residue.id), chain, str(number), *ranks, f"{residue.confidence:.4f}"])
    return block.as_string()


def _pdb(structure: gemmi.Structure, segmentation: Segmentation, said: str) -> str:
    if segmentation.spacegroup.ext == "H":  # hexagonal axes of R 3 and R 32 have their own name in PDB files
        structure.spacegroup_hm = "H" + segmentation.spacegroup.hm[1:]
    remarks = [
        f"EDSEG {__version__}: {said}",
        "B-FACTOR COLUMN: 100 * CONFIDENCE. RESIDUE NAME: RANK 1, WHERE",
        "VAL STANDS FOR VAL/THR, ASX FOR ASP/ASN, GLX FOR GLU/GLN.",
        "CHAIN, NUMBER, RANKS 1 TO 3 WITH THEIR PROBABILITIES:",
    ]
    for residue in segmentation.residues:
        chain, number = _address(residue)
        remarks.append(f"{chain} {number:>4} " + " ".join(f"{label:<7} {p:.4f}" for label, p in residue.ranks))
    structure.raw_remarks = [f"REMARK  99 {text}".rstrip() for text in remarks]
    return structure.make_pdb_string()


def _voxel_lines(voxels: ResidueVoxels, residues: tuple[ResidueProposal, ...]) -> Iterator[str]:
    """Yield the lines of a PDB file with one atom per voxel, in the residues of ``centroids.pdb``."""
    headers = []
    for residue in residues:
        chain, number = _address(residue)
        headers.append(f"{PDB_NAMES[LABELS.index(residue.ranks[0][0])]} {chain}{number:4d}")
    for serial, (number, (x, y, z)) in enumerate(zip(voxels.residue.tolist(), voxels.positions.tolist(), strict=True)):
        name = headers[number - 1]
        yield f"HETATM{serial % 99999 + 1:5d}  X   {name}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           X\n"
    yield "END\n"
