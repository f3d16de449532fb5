"""Which protein it is, from traced fragments."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyhmmer")

from edseg_engine.building.identify import STAGES, Identification
from edseg_engine.building.identify_files import IDENTIFY_COLUMNS, identify_to_json, write_identify
from edseg_engine.building.records import Trace
from edseg_engine.building.search import SHORTEST, Search, amino_acid_profile, check_database, search
from edseg_engine.building.trace import trace
from edseg_engine.cli import main
from edseg_engine.errors import BuildError, ModelFormatError
from edseg_engine.labels import LABELS
from edseg_engine.networks.card import WeightsInfo
from places import MODEL, MTZ, ROOT
from simulated_votes import KnownChains, known_chains, votes

#: Frequencies of the amino acids ACDEFGHIKLMNPQRSTVWY in proteins.
COMMON = np.array([8, 1.4, 5.4, 6.7, 3.9, 7, 2.3, 5.9, 5.8, 9.7, 2.4, 4, 4.7, 3.9, 5.5, 6.6, 5.3, 6.9, 1.1, 2.9])


@pytest.fixture(scope="module")
def known() -> KnownChains:
    return known_chains(MODEL)


@pytest.fixture(scope="module")
def traced(known: KnownChains) -> Trace:
    return trace(votes(known, np.random.default_rng(1), rms=0.6, rank1=0.7)[0])


def fasta(path: Path, known: KnownChains, n: int = 10_000) -> Path:
    """Write random proteins, and among them the known one."""
    rng = np.random.default_rng(5)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for i in range(n):
            if i == n // 2:
                file.write(f">target the protein of this map\n{known.sequences[0][:60]}\n{known.sequences[0][60:]}\n")
            length = int(rng.integers(50, 500))
            file.write(f">random{i}\n{''.join(rng.choice(letters, length, p=COMMON / COMMON.sum()))}\n")
    return path


@pytest.fixture(scope="module")
def found(known: KnownChains, traced: Trace, tmp_path_factory: pytest.TempPathFactory) -> Search:
    return search(traced, fasta(tmp_path_factory.mktemp("database") / "random.fasta.gz", known))


def test_the_protein_is_the_first_of_ten_thousand(found: Search, known: KnownChains, traced: Trace) -> None:
    assert found.n_sequences == 10_001
    assert found.fragments == tuple(n for n in map(len, traced.fragments) if n >= SHORTEST)
    best = found.candidates[0]
    assert (best.name, best.description) == ("target", "the protein of this map")
    assert best.sequence == known.sequences[0]
    assert best.e_value < 1e-3
    assert best.covered <= len(best.sequence)
    assert all(best.score > other.score + 10 for other in found.candidates[1:])


def test_files(found: Search, tmp_path: Path) -> None:
    weights = WeightsInfo("high.safetensors", "0" * 64, 1.8, 2.5)
    result = Identification(
        found, Path("database"), {"file": "map"}, 2.01234, weights, "cpu", {"read": 0.12345}, ("The map is old.",)
    )
    write_identify(result, tmp_path / "out")
    content = json.loads((tmp_path / "out/identify.json").read_text(encoding="utf-8"))
    assert content["candidates"][0]["name"] == "target"
    assert content["weights"]["name"] == "high.safetensors"
    assert (content["resolution"], content["device"]) == (2.012, "cpu")
    assert (content["timings"], content["warnings"]) == ({"read": 0.123}, ["The map is old."])
    with (tmp_path / "out/candidates.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == IDENTIFY_COLUMNS
    assert rows[0]["name"] == "target"
    page = (ROOT / "docs/checking.md").read_text(encoding="utf-8")
    for name in (*identify_to_json(result), *IDENTIFY_COLUMNS):
        assert f"`{name}`" in page


def test_the_whole_way_from_a_map(known: KnownChains, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, out = fasta(tmp_path / "random.fasta.gz", known, n=1000), tmp_path / "out"
    command = ["identify", str(MTZ), "--database", str(database), "--orientations", "1", "--out", str(out)]
    assert main([*command, "--resolution", "2.4", "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in lines[:-1])) == list(STAGES)
    assert (lines[-1]["best"], lines[-1]["sequences"]) == ("target", 1001)
    content = json.loads((out / "identify.json").read_text(encoding="utf-8"))
    assert content["candidates"][0]["sequence"] == known.sequences[0]
    assert content["resolution"] == 2.4
    assert content["weights"]["name"] == "high.safetensors"
    assert set(content["timings"]) == set(STAGES) - {"write"}


def test_shared_classes_are_divided() -> None:
    certain = np.eye(len(LABELS))[[LABELS.index("VAL/THR"), LABELS.index("ALA")]]
    profile = amino_acid_profile(certain, COMMON / COMMON.sum())
    assert profile.sum(1) == pytest.approx([1, 1])
    order = "ACDEFGHIKLMNPQRSTVWY"
    assert profile[0, order.index("V")] / profile[0, order.index("T")] == pytest.approx(6.9 / 5.3)
    assert profile[1].argmax() == order.index("A")


def test_only_short_fragments(known: KnownChains, traced: Trace, tmp_path: Path) -> None:
    short = Trace(tuple(fragment.part(0, 10) for fragment in traced.fragments), traced.symmetry)
    with pytest.raises(BuildError, match="10 residues; at least 15"):
        search(short, tmp_path / "no database is needed")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no sequence"),
        (b"MKV\n", "not a FASTA file"),
        (b">nothing\n\n>gaps\n--..\n", "holds no sequence"),
        (b">dna\nACGTACGT\n", "nucleotide"),
        (b"\x1f\x8b\x08 damaged", "cannot be unpacked"),
    ],
)
def test_bad_databases(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "database"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=said):
        check_database(path)
    with pytest.raises(ModelFormatError, match="does not exist"):
        check_database(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFormatError, match="not a regular file"):
        check_database(tmp_path / "pipe")
