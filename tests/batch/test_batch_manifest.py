"""What a user can name: files, folders, patterns and manifests, and names that stay in the output directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batches import noise_map
from edseg_engine.batch.inputs import find_maps
from edseg_engine.batch.manifest import MapInput, read_manifest
from edseg_engine.batch.names import check_name, choose_names
from edseg_engine.batch.plan import jobs_of
from edseg_engine.batch.records import Entry
from edseg_engine.batch.settings import NAMES, MapSettings
from edseg_engine.errors import OptionError

DEFAULTS = MapSettings(orientations=2)


def names_of(maps: list[Path], known: list[Entry] | None = None) -> list[str]:
    return [job.name for job in jobs_of(find_maps(maps, DEFAULTS, Path("/nowhere")), known or [])]


def manifest(folder: Path, text: str, name: str = "maps.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_folders_patterns_and_files(tmp_path: Path) -> None:
    for name in ("a/data.mtz", "b/data.mtz.gz", "b/1abc-sf.cif", "b/model.cif", "c.MRC", "out/a/density.ccp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    def found(*inputs: Path | str) -> list[str]:
        maps = find_maps(inputs, DEFAULTS, tmp_path / "out")
        return [each.path.relative_to(tmp_path).as_posix() for each in maps]

    everything = ["a/data.mtz", "b/1abc-sf.cif", "b/data.mtz.gz", "c.MRC"]
    assert found(tmp_path) == everything
    assert found(f"{tmp_path}/*/data.mtz*", tmp_path / "a", f"{tmp_path}/[c].MRC") == [
        "a/data.mtz", "b/data.mtz.gz", "c.MRC",
    ]  # fmt: skip
    assert found(f"{tmp_path}/**/d*") == ["a/data.mtz", "b/data.mtz.gz"]
    for pattern in ("*", "**"):
        assert sorted(found(f"{tmp_path}/{pattern}")) == everything
    assert found(tmp_path / "b" / "model.cif") == ["b/model.cif"]
    for wrong, said in ((tmp_path / "d.mtz", "d.mtz"), (f"{tmp_path}/*.ccp4", "pattern"), (tmp_path / "out", "no map")):
        with pytest.raises(OptionError, match=said):
            find_maps([wrong], DEFAULTS, tmp_path / "out")


def test_names_are_short_clear_and_stay(tmp_path: Path) -> None:
    maps = [noise_map(tmp_path / name) for name in ("a/data.ccp4", "b/data.ccp4", "c/1abc.x.ccp4", "c/batch.ccp4")]
    assert names_of(maps) == ["a-data", "b-data", "1abc", "map-batch"]
    (tmp_path / "final.ccp4").symlink_to(maps[0])
    assert names_of([tmp_path / "final.ccp4"]) == ["final"]
    known = [Entry("data", maps[1].resolve(), "done", {}), Entry("a-data", tmp_path / "gone", "done", {})]
    assert names_of(maps[:2], known) == ["a-data-2", "data"]
    odd = [tmp_path / "x" / name for name in (".hidden", "CON.mtz", "a b\n.mtz", "\udcff.mtz", "é" * 200)]
    for name in choose_names([*odd, *odd], ["hidden"]):
        assert check_name(name) == name


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_both_forms_say_the_same(tmp_path: Path, form: str) -> None:
    rows = [
        {"path": "a.mtz", "name": "first, best", "resolution": 2.5, "residues": 95, "sequence": "a.fasta"},
        {"path": "/data/b.map", "box": [0, 0, 0, 10, 20, 30], "voxels": True, "region": "box", "f": "F", "phi": "P"},
    ]
    if form == "csv":
        text = (
            "\ufeffpath, name,resolution,residues,sequence,box,voxels,region,f,phi\n"
            'a.mtz,"first, best",2.5,95,a.fasta,,,,,\n/data/b.map,,,,,"0 0 0 10 20 30",yes,box,F,P\n'
        )
    else:
        text = "\n".join(map(json.dumps, rows))
    first, second = read_manifest(manifest(tmp_path, text, f"maps.{form}"), DEFAULTS)
    assert (first.path, first.name) == (tmp_path / "a.mtz", "first, best")
    assert first.settings == MapSettings(
        resolution=2.5, residues=95, sequence=tmp_path / "a.fasta", orientations=DEFAULTS.orientations
    )
    assert (second.path, second.name) == (Path("/data/b.map"), None)
    assert second.settings.box == (0, 0, 0, 10, 20, 30)
    assert (second.settings.voxels, second.settings.region, second.settings.f) == (True, "box", "F")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,resolutoin\na.mtz,2\n", "resolutoin"),
        ("name\na\n", "no column path"),
        ("", "no column path"),
        ("path,path\na,b\n", "twice"),
        ("path\na,b\n", "more fields"),
        ("path,name\na.mtz,../a\n", "line 2"),
        ("path,name\na.mtz,/etc\n", "line 2"),
        ("path,name\na.mtz,..\n", "'..'"),
        ("path,name\na.mtz,batch.sqlite\n", "batch itself"),
        ("path,name\n,x\n", "path is empty"),
        ("path,name\n", "no lines"),
        ("path,name\na,x\nb,X\n", "two maps have the name 'x'"),
        ("path,residues\na,1\na,2\n", "there twice"),
    ],
)
def test_manifests_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(OptionError, match=f"(?i){said}"):
        find_maps([manifest(tmp_path, text)], DEFAULTS, tmp_path / "out")


def test_a_wrong_value_is_the_problem_of_its_map_alone(tmp_path: Path) -> None:
    text = "path,resolution,box\na,2.0,\nb,fine,\nc,,1 2 3\nd,nan,\ne,,0 0 0 1 1 inf\n"
    maps = find_maps([manifest(tmp_path, text)], DEFAULTS, tmp_path / "out")
    assert [bool(each.refusal) for each in maps] == [False, True, True, True, True]
    assert "maps.csv, line 3" in maps[1].refusal
    assert "'fine'" in maps[1].refusal


FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
texts = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["..", "../x", "a\0b", "2.5", "nan"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(st.sampled_from(["path", "name", *NAMES]), values, max_size=5)
json_lines = st.lists(objects | values, max_size=3).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
csv_lines = st.lists(st.lists(texts, max_size=4).map(",".join), max_size=3).map(
    lambda rows: "\n".join(["path,name,resolution,box", *rows]).encode(errors="surrogatepass")
)


@FUZZ
@given(content=st.one_of(json_lines, csv_lines, st.binary(max_size=300)), suffix=st.sampled_from(["csv", "jsonl"]))
@example(content=b'{"path": ' + b"[" * 100_000, suffix="jsonl")
@example(content=b'{"path": "a", "residues": 1e999}\n{"path": "b", "residues": ' + b"9" * 5000 + b"}", suffix="jsonl")
@example(content=b'path\n"a', suffix="csv")
@example(content=b"path\n" + b"a" * 200_000, suffix="csv")
def test_any_manifest_is_read_or_refused_with_a_sentence(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"fuzz.{suffix}"
    path.write_bytes(content)
    out = tmp_path / "out"
    refusal = ""
    maps: list[MapInput] = []
    try:
        maps = find_maps([path], DEFAULTS, out)
    except OptionError as error:
        refusal = str(error)
    assert "\n" not in refusal
    for job in jobs_of(maps, []):
        assert (out / job.name).resolve().parent == out.resolve()
        assert (out / job.name).name == job.name
        assert "\n" not in job.refusal
