"""Labelled centroids as files: PDB, mmCIF, CSV, and scripts for Coot and for a PyMOL without the plugin."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pymol_edseg.engine import VERSION
from pymol_edseg.journal import ACCEPTED, UNDECIDED
from pymol_edseg.label_format import format_label
from pymol_edseg.objects import labels
from pymol_edseg.palette import COLORS, LABELS, class_of, file_name, pdb_name
from pymol_edseg.proposals import Proposal
from pymol_edseg.records import ViewSettings
from pymol_edseg.state import Result

WHAT: dict[str, tuple[str, ...]] = {
    "all": ("undecided", "accepted", "rejected"),
    "accepted": (ACCEPTED,),
    "undecided": (UNDECIDED,),
}


def exported(result: Result, what: str, form: str) -> tuple[str, int]:
    """Return the text of a file and the number of residues in it.

    Parameters
    ----------
    what
        ``"all"``, ``"accepted"`` or ``"undecided"``.
    form
        ``"pdb"``, ``"cif"``, ``"csv"``, ``"pml"`` or ``"py"``.
    """
    decisions = result.decisions()
    chosen = [p for p in result.proposals if decisions[p.id].status in WHAT[what]]
    return FORMATS[form](result, chosen), len(chosen)


def _pdb(result: Result, chosen: Sequence[Proposal]) -> str:
    names, decisions = result.identities(), result.decisions()
    a, b, c, alpha, beta, gamma = result.data.cell
    lines = [
        f"REMARK  99 EDSEG {VERSION}: ONE PSEUDO-ATOM PER RESIDUE AT ITS CENTROID.",
        "REMARK  99 B-FACTOR COLUMN: 100 * CONFIDENCE. CHAIN, NUMBER, STATUS, IDENTITY,",
        "REMARK  99 RANKS 1 TO 3 WITH THEIR PROBABILITIES:",
    ]
    for p in chosen:
        chain, number = p.address
        ranks = " ".join(f"{label:<7} {value:.4f}" for label, value in p.ranks)
        lines.append(f"REMARK  99 {chain} {number:>4} {decisions[p.id].status:<9} {names[p.id]:<7} {ranks}")
    group = _pdb_spacegroup(result.data.spacegroup)
    lines.append(f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}{alpha:7.2f}{beta:7.2f}{gamma:7.2f} {group:<11}")
    for serial, p in enumerate(chosen):
        chain, number = p.address
        x, y, z = p.position
        lines.append(
            f"ATOM  {serial % 99999 + 1:5d}  CA  {pdb_name(names[p.id])} {chain}{number:>4}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{1:6.2f}{100 * p.confidence:6.2f}          {'C':>2}"
        )
    return "\n".join([*lines, "END", ""])


def _pdb_spacegroup(name: str) -> str:
    return "H" + name[1:-2] if name.endswith(":H") else name.removesuffix(":R")


def _cif(result: Result, chosen: Sequence[Proposal]) -> str:
    names, decisions = result.identities(), result.decisions()
    cell = zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
        result.data.cell,
        strict=True,
    )
    lines = ["data_edseg", *(f"_cell.{key} {value:.3f}" for key, value in cell)]
    lines += [f"_symmetry.space_group_name_H-M '{result.data.spacegroup}'", "", "loop_"]
    atom_keys = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id "
        "pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
    )
    lines += [f"_atom_site.{key}" for key in atom_keys.split()]
    for serial, p in enumerate(chosen, 1):
        chain, number = p.address
        xyz = " ".join(f"{x:.3f}" for x in p.position)
        lines.append(
            f"ATOM {serial} C CA . {pdb_name(names[p.id])} {chain} 1 {number} ? {xyz} 1.00 {100 * p.confidence:.2f} "
            f"{number} {chain} 1"
        )
    lines += ["", "loop_"]
    keys = "id auth_asym_id auth_seq_id status identity label_1 p_1 label_2 p_2 label_3 p_3 confidence"
    lines += [f"_edseg_residue.{key}" for key in keys.split()]
    for p in chosen:
        ranks = " ".join(f"{label} {value:.4f}" for label, value in p.ranks)
        chain, number = p.address
        status = decisions[p.id].status
        lines.append(f"{p.id} {chain} {number} {status} {names[p.id]} {ranks} {p.confidence:.4f}")
    return "\n".join([*lines, ""])


def _csv(result: Result, chosen: Sequence[Proposal]) -> str:
    names, decisions = result.identities(), result.decisions()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ranks = [column for i in (1, 2, 3) for column in (f"label{i}", f"p{i}")]
    probabilities = [f"p_{label}" for label in LABELS]
    decided = ["status", "identity", "comment"]
    writer.writerow(["id", "x", "y", "z", *ranks, "confidence", "n_voxels", *probabilities, *decided])
    for p in chosen:
        position = (f"{x:.3f}" for x in p.position)
        named = (value for label, q in p.ranks for value in (label, f"{q:.4f}"))
        all_p = (f"{p.probabilities[label]:.4f}" for label in LABELS)
        said = decisions[p.id].status, names[p.id], decisions[p.id].comment or ""
        writer.writerow([p.id, *position, *named, f"{p.confidence:.4f}", p.n_voxels, *all_p, *said])
    return text.getvalue()


def _pml(result: Result, chosen: Sequence[Proposal]) -> str:
    names, texts = result.identities(), labels(replace(result, view=_labelled(result.view)))
    lines = [f"# Residues found by edseg {VERSION}: labelled pseudo-atoms at their centroids, coloured by class."]
    for label in sorted({class_of(names[p.id]) for p in chosen}):
        red, green, blue = (int(COLORS[label][i : i + 2], 16) for i in (1, 3, 5))
        lines.append(f"set_color edseg_{file_name(label)}, [{red}, {green}, {blue}]")
    for p in chosen:
        chain, number = p.address
        x, y, z = p.position
        # A line that begins with a slash is Python, so that a label may hold anything.
        lines.append(
            f"/cmd.pseudoatom({_quoted(result.sites)}, name='CA', elem='C', resn={_quoted(pdb_name(names[p.id]))}, "
            f"resi={_quoted(number)}, chain={_quoted(chain)}, b={100 * p.confidence:.2f}, q=1, "
            f"pos=[{x:.3f}, {y:.3f}, {z:.3f}], color={_quoted(f'edseg_{file_name(class_of(names[p.id]))}')}, "
            f"label={_quoted(texts[p.address])})"
        )
    lines += [f"show_as spheres labels, {result.name}_sites", f"set sphere_scale, 0.35, {result.name}_sites", ""]
    return "\n".join(lines)


def _coot(result: Result, chosen: Sequence[Proposal]) -> str:
    """Return a Python script for Coot: a list of places to go to, and labels there."""
    decisions, lines = result.decisions(), []
    for p in chosen:
        d = decisions[p.id]
        x, y, z = p.position
        text = f"{p.id} {format_label('ranks', p, d.identity)}"
        comment = f": {d.comment}" if d.comment else ""
        lines.append(f"    [{_quoted(text)}, {_quoted(d.status + comment)}, {x:.3f}, {y:.3f}, {z:.3f}],")
    return "\n".join(
        [f"# Residues found by edseg {VERSION}. In Coot: Calculate, Run Script.", "places = [", *lines, _IN_COOT]
    )


_IN_COOT = """]
try:
    from coot import place_text
    from coot_gui import interesting_things_gui
except ImportError:
    pass  # scripts of Coot 0.9 have both at hand
for text, status, x, y, z in places:
    place_text(text, x, y, z, 1)
interesting_things_gui("edseg", [[text + " (" + status + ")", x, y, z] for text, status, x, y, z in places])
"""


def _labelled(view: ViewSettings) -> ViewSettings:
    """Return a view with labels: in a PyMOL without the plugin there is no focus."""
    return replace(view, label="ranks") if view.label == "focus" else view


def _quoted(text: str) -> str:
    """Return a text as a Python string of plain letters, in which PyMOL's parser finds nothing to act upon."""
    plain = (c if c.isascii() and c.isprintable() and c not in "'\"\\;#" else f"\\U{ord(c):08x}" for c in text)
    return f"'{''.join(plain)}'"


FORMATS: Mapping[str, Callable[[Result, Sequence[Proposal]], str]] = {
    "pdb": _pdb,
    "cif": _cif,
    "csv": _csv,
    "pml": _pml,
    "py": _coot,
}
