"""The tutorial does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import gemmi
from PIL import Image

from places import MODEL, ROOT
from pymol_edseg import register
from pymol_edseg.palette import GROUPS

TEXT = (ROOT / "docs/pymol.md").read_text(encoding="utf-8")


def test_the_tour_runs(tmp_path: Path) -> None:
    lines = [
        line
        for block in re.findall(r"^```pml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
        for line in block.split("\n")
    ]
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "tour.pml").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "plugin.py").write_text("import pymol_edseg\npymol_edseg.__init_plugin__()\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pymol", "-cqk", "plugin.py", "tour.pml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert "Error" not in told, told
    assert "edseg_1: 95 residues found" in told
    structure = gemmi.read_structure(str(tmp_path / "residues.cif"))
    assert len(structure[0][0]) == 95
    accepted = gemmi.read_structure(str(tmp_path / "accepted.pdb"))[0][0]
    assert {residue.seqid.num for residue in accepted} >= {40, 42, 43, 44, 45}
    assert [residue.name for residue in accepted if residue.seqid.num == 42] == ["ILE"]
    known, completed = (gemmi.read_structure(str(path)) for path in (MODEL, tmp_path / "completed.pdb"))
    removed, filled = (
        {residue.seqid.num: residue["CA"][0].pos for residue in structure[0]["A"] if 20 <= residue.seqid.num < 30}
        for structure in (known, completed)
    )
    assert list(filled) == list(range(20, 30))
    assert max(filled[n].dist(removed[n]) for n in filled) < 3
    assert "interesting_things_gui" in (tmp_path / "residues.py").read_text(encoding="utf-8")
    assert (tmp_path / "session.pse").stat().st_size > 100_000
    assert (tmp_path / "residues.csv").exists()
    assert "pseudoatom" in (tmp_path / "residues.pml").read_text(encoding="utf-8")


def test_commands_groups_and_pictures_are_there() -> None:
    table = TEXT.partition("## Commands")[2].partition("## Colours")[0]
    rows = "".join(line for line in table.split("\n") if line.startswith("| `"))
    assert set(re.findall(r"edseg_\w+", rows)) == {function.__name__ for function in register.COMMANDS}
    groups = re.findall(r"^\| ([a-z]+) \| ([A-Z].*) \|$", TEXT, re.MULTILINE)
    assert {group: classes.split(", ") for group, classes in groups} == {g: list(c) for g, c in GROUPS.items()}
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", TEXT)
    assert len(pictures) == 4
    for picture in pictures:
        assert Image.open(ROOT / "docs" / picture).size[0] > 1000
