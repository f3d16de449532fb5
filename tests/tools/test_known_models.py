"""The tool that refines known models as built ones are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import gemmi
import pytest

from edseg_engine.errors import OptionError
from edseg_engine.io.coordinates import read_model
from places import CRYSTAL, MODEL
from tools.known_models import main, protein_and_waters


def test_what_edseg_does_not_build_is_left_out() -> None:
    structure = read_model(MODEL)
    chain = structure[0][0]
    before = len(chain)
    for name in ("SO4", "HOH"):
        residue = gemmi.Residue()
        residue.name, residue.seqid = name, gemmi.SeqId(str(900 + len(chain)))
        atom = gemmi.Atom()
        atom.name = "O"
        residue.add_atom(atom)
        chain.add_residue(residue)
    left, left_out = protein_and_waters(structure)
    assert left_out == {"SO4"}
    assert [residue.name for residue in left[0][0]][before - 1 :] == [chain[before - 1].name, "HOH"]
    assert len(chain) == before + 2, "the model that was given is as it was"


def test_a_known_model_is_refined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(CRYSTAL, tmp_path / "1az5")
    (tmp_path / "index.tsv").write_text("id\tsplit\tresolution\n1az5\tdev\t2.0\n")
    assert main(["--experimental", str(tmp_path), "--crystals", "1az5"]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    r_work, r_free = map(float, re.findall(r"0\.\d+", row)[-2:])
    assert 0.1 < r_work < r_free < 0.25
    assert main(["--experimental", str(tmp_path), "--crystals", "other"]) == OptionError.exit_code
