"""The page of a batch, in a real browser."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from PIL import Image, ImageColor

from batches import journal_of
from browser import BROWSER, browse
from edseg_engine.batch.journal import Asked
from edseg_engine.batch.journal_file import open_journal
from edseg_engine.batch.records import Failed, Outcome
from edseg_engine.batch.tasks import done_of
from edseg_engine.cli import main
from edseg_engine.errors import ResultFormatError
from edseg_engine.labels import LABELS, label_of_residue
from edseg_engine.report.page import write_report
from edseg_engine.report.palette import COLORS
from edseg_engine.report.views import STEP, composition, read_found, view_of
from edseg_engine.results.files import write_results
from edseg_engine.results.records import Segmentation
from pymol_edseg import palette
from segmentations import segmentation

in_a_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
#: Names and sentences that must not become a part of the page.
EVIL = "</script><img src=x onerror='document.title=1'> & \udcff"


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of 250 maps: three with a result, the rest failed or waiting."""
    out = tmp_path_factory.mktemp("batch & co")
    (out / "protein.fasta").write_text(">A\nACDEFGHIKLMNPQRSTVWY\n")
    sequence = {"sequence": {"path": str(out / "protein.fasta"), "sha256": ""}, "refusal": "", "cycles": None}
    with open_journal(out, "segment") as journal, journal.together():
        for number in range(250):
            name, settings = f"map {number}", sequence if number == 2 else {"resolution": 2.5}
            journal.add(name, out / EVIL, Asked(settings, 1, 1))
            if number >= 240:
                continue
            journal.begin(name, "")
            if number < 3:
                write_results(crowded(30 + number, number), out / name)
                journal.finish(name, Outcome(done_of("segment", out / name, ""), 10.0 * number))
            else:
                journal.finish(name, Outcome(Failed("MapFormatError", f"{number} {EVIL}"), 1.0))
    return out


@pytest.fixture(scope="module")
def page(batch: Path) -> Path:
    assert main(["report", str(batch)]) == 0
    return batch / "report.html"


def crowded(n: int, seed: int) -> Segmentation:
    """Return a made-up result whose residues are as close as those of a protein."""
    found = segmentation(n, seed=seed)
    return replace(
        found,
        residues=tuple(
            replace(residue, position=tuple(round(x / 10, 3) for x in residue.position))  # type: ignore[arg-type]
            for residue in found.residues
        ),
    )


def rows_of(text: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(<td.*?)</tr>", text, re.DOTALL)
    return [[html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<td.*?</td>", row)] for row in rows]


def test_the_page_is_one_file_that_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    outside = text.split("<script>")[0]
    assert not re.search(r"(src|href)=[\"'](?!#)", outside)
    assert "<img" not in outside
    assert text.count("<script") == text.count("</script") == 250 + 3


def test_what_is_in_it_is_what_was_found(batch: Path) -> None:
    view = view_of(journal_of(batch)["map 2"], "segment", batch / "map 2")
    found = crowded(32, 2).residues
    xyz = np.frombuffer(base64.b64decode(str(view["xyz"])), "<i2").reshape(-1, 3) * STEP
    np.testing.assert_allclose(xyz, [residue.position for residue in found], atol=STEP / 2 + 1e-3)
    labels = np.frombuffer(base64.b64decode(str(view["labels"])), np.uint8)
    assert [LABELS[i] for i in labels] == [residue.ranks[0][0] for residue in found]
    sure = np.frombuffer(base64.b64decode(str(view["confidence"])), "<i2") / 255
    np.testing.assert_allclose(sure, [residue.confidence for residue in found], atol=0.003)
    assert view["expected"] == composition(["ACDEFGHIKLMNPQRSTVWY"])
    assert sum(composition(["ACDX", "vt"])) == 5
    assert view["settings"] == {"sequence": str(batch / "protein.fasta")}
    json.dumps(view)


def test_residues_of_a_model_are_those_with_a_place_in_the_sequence(
    crystal_model: gemmi.Structure, tmp_path: Path
) -> None:
    chain = crystal_model[0][0]
    (tmp_path / "model.cif").write_text(crystal_model.make_mmcif_document().as_string())
    placed = [
        {"chain": chain.name, "number": residue.seqid.num, "docking_probability": probability}
        for residue, probability in zip(chain[:3], (0.5, None, 1.0), strict=True)
    ]
    (tmp_path / "build.json").write_text(json.dumps({"residues": placed}))
    found = read_found("build", tmp_path)
    assert found.labels.tolist() == [label_of_residue(residue.name) for residue in chain[:3]]
    np.testing.assert_array_equal(found.confidence, [0.5, np.nan, 1.0])
    np.testing.assert_allclose(found.positions[2], chain[2]["CA"][0].pos.tolist(), atol=1e-3)


def test_a_result_that_is_gone_is_said(batch: Path, tmp_path: Path) -> None:
    view = view_of(journal_of(batch)["map 1"], "segment", tmp_path)
    assert "cannot be shown" in str(view["problem"])
    with pytest.raises(ResultFormatError, match="not the output of a batch"):
        write_report(tmp_path)


def test_the_colours_are_those_of_the_plugin() -> None:
    assert COLORS == palette.COLORS


@in_a_browser
def test_the_table_is_sorted_searched_and_cut_into_pages(page: Path, tmp_path: Path) -> None:
    text, _, said = browse(page, "sort=confidence&down=1", tmp_path)
    assert said == []
    rows = rows_of(text)
    assert len(rows) == 100
    sure = [float(row[4]) for row in rows[:3]]
    assert sure == sorted(sure, reverse=True)
    assert [row[0] for row in rows[3:6]] == ["map 3", "map 4", "map 5"]  # in the order of people
    assert "1 of 3" in text
    assert all(words in text for words in ("250 maps", "3 done", "237 failed", "10 waiting"))
    text, _, said = browse(page, "state=failed&search=MAP+23&page=7", tmp_path)
    assert [row[0] for row in rows_of(text)] == ["map 23", *(f"map {number}" for number in range(230, 240))]
    assert "</script><img src=x onerror='document.title=1'> &" in rows_of(text)[0][-1]
    assert "11 of 250 maps" in text
    assert "<title>1</title>" not in text
    assert said == []


@in_a_browser
def test_a_map_is_shown_in_space(page: Path, tmp_path: Path) -> None:
    text, picture, said = browse(page, "map=map+2", tmp_path, space=True)
    assert said == []
    pixels = np.asarray(Image.open(picture).convert("RGB"), int)[150:720, 30:740].reshape(-1, 3)
    labels = {residue.ranks[0][0] for residue in crowded(32, 2).residues}
    hues = [np.array(ImageColor.getrgb(COLORS[label])) for label in labels]
    seen = [(np.abs(pixels - hue).max(1) < 25).sum() > 20 for hue in hues]
    assert np.mean(seen) > 0.7  # spheres of nearly all classes, the others behind them
    assert "32 residues found. Lines: 20 residues of the sequence." in text
    assert re.search(r'<a href="map%202/result\.json">result\.json</a>', text)
    assert "The map is small." in text
    assert text.count("<rect") == 17 + 10
