"""The documentation of files, columns and exit codes names all of them, and no others."""

from __future__ import annotations

import re
from importlib.util import find_spec

import gemmi
import pytest

from edseg_engine import errors
from edseg_engine.building.build import STAGES as BUILD_STAGES
from edseg_engine.building.files import BUILD_OUTPUT, build_to_json
from edseg_engine.building.identify import STAGES as IDENTIFY_STAGES
from edseg_engine.building.records import Model
from edseg_engine.building.results import BuildResult, Checks
from edseg_engine.evaluation.comparison_file import comparison_to_json
from edseg_engine.evaluation.models import compare
from edseg_engine.progress import STAGES
from edseg_engine.results.files import RESULT_FILES, result_to_json
from places import MODEL, ROOT
from segmentations import segmentation

FORMATS = (ROOT / "docs/file-formats.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    """Return the first column of the table below a heading."""
    section = FORMATS.split(f"{heading}\n", 1)[1]
    table = section.split("\n|---", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `?([^`|]+?)`? \|", table, re.MULTILINE)


def test_exit_codes() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", FORMATS, re.MULTILINE))
    kinds = [*errors.EdsegError.__subclasses__(), errors.Cancelled]
    assert rows == {str(kind.exit_code): kind.__name__ for kind in kinds}
    assert len(rows) == len(kinds)


def test_keys_of_result_json() -> None:
    result = result_to_json(segmentation())
    assert first_column("### result.json") == list(result)
    assert first_column("Each residue:") == list(result["residues"][0])  # type: ignore[index]


def test_files_and_stages() -> None:
    for name in (*RESULT_FILES, *STAGES, *IDENTIFY_STAGES):
        assert f"`{name}`" in FORMATS


def test_files_keys_and_stages_of_a_model() -> None:
    model = Model(gemmi.read_structure(str(MODEL)), {"A": "A"}, {})
    result = BuildResult(model, Checks({}, {}, {}, 0), (), 0, None, None, (), None, {}, None, {}, ())
    report = build_to_json(result)
    keys = [key for cell in first_column("### build.json") for key in cell.split("`, `")]
    assert set(keys) - {"r_work", "r_free"} <= set(report)
    assert set(report) - set(keys) <= {"r_work", "r_free"}
    residue = report["residues"][0]  # type: ignore[index]
    assert set(first_column("Each residue of a model:")) - {"chain"} <= set(residue)
    for name in (*BUILD_OUTPUT.names, *BUILD_STAGES):
        assert f"`{name}`" in FORMATS


def test_keys_of_a_comparison() -> None:
    structure = gemmi.read_structure(str(MODEL))
    report = comparison_to_json(compare(structure, structure), MODEL, MODEL)
    assert first_column("### figures of edseg compare") == list(report)


@pytest.mark.parametrize("page", ["how-it-works", "thesis"])
def test_modules_named_in_pages_exist(page: str) -> None:
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w/]+(?:\.py|/))`", text))
    assert len(names) > 10
    assert [name for name in names if not (ROOT / "edseg_engine" / name).exists()] == []
    assert all(find_spec(name) for name in re.findall(r"python -m (tools\.[\w.]+)", text))
