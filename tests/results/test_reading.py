"""Results read back from their files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.errors import ResultFormatError
from edseg_engine.results.files import result_to_json, write_results
from edseg_engine.results.reading import read_results
from edseg_engine.results.residue_voxels import ResidueVoxels, density_around
from segmentations import box_maps, segmentation


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run = segmentation(class_maps=box_maps(), spacegroup="R 3:H")
    run = replace(run, options=replace(run.options, box=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0)))
    write_results(run, tmp_path / "out")
    read = read_results(tmp_path / "out")
    assert result_to_json(read) == result_to_json(run)
    assert read.options == run.options
    assert read.spacegroup == run.spacegroup
    assert read.class_maps is None
    for a, b in zip(read.residues, run.residues, strict=True):
        np.testing.assert_allclose(a.position, b.position, atol=6e-4)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=6e-5)


def test_voxels_are_read(crystal_map: DensityMap, tmp_path: Path) -> None:
    n = 10_003
    rng = np.random.default_rng(0)
    positions, residue = rng.uniform(-5, 20, (2 * n, 3)), np.repeat(np.arange(1, n + 1), 2)
    voxels = ResidueVoxels(positions, residue, 1.25, density_around(crystal_map, positions))
    write_results(replace(segmentation(n), voxels=voxels), tmp_path / "out")
    read = read_results(str(tmp_path / "out")).voxels
    assert read is not None
    assert read.spacing == 1.25
    assert read.residue.tolist() == residue.tolist()
    np.testing.assert_allclose(read.positions, positions, atol=6e-4)
    np.testing.assert_array_equal(read.density.values, voxels.density.values)
    assert read.density.grid.start == voxels.density.grid.start


def test_options_of_older_results_are_read(tmp_path: Path) -> None:
    write_results(segmentation(), tmp_path / "out")
    path = tmp_path / "out/result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["options"]["residues"] = result["options"].pop("n_residues")
    path.write_text(json.dumps(result), encoding="utf-8")
    assert read_results(tmp_path / "out").options == segmentation().options


def remove(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys[:-1]:
        values = values[key]
    del values[keys[-1]]
    return values


def test_damaged_results_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultFormatError, match="nowhere"):
        read_results(tmp_path / "nowhere")
    write_results(segmentation(3), tmp_path / "out")
    path = tmp_path / "out/result.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    damaged: list[object] = [None, [], 7, {"schema": "edseg-result/9"}]
    damaged += [{k: v for k, v in whole.items() if k != key} for key in whole if key != "engine_version"]
    damaged += [
        {**whole, key: None} for key in whole if key not in ("engine_version", "device", "region", "voxel_spacing")
    ]
    damaged += [{**whole, "cell": [1, 2]}, {**whole, "spacegroup": "P 7"}, {**whole, "voxel_spacing": 1.0}]
    damaged += [{**whole, "residues": [{**whole["residues"][0], "probabilities": {}}]}]
    damaged += [{**whole, "options": {**whole["options"], "views": 99}}]
    for values in damaged:
        path.write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(ResultFormatError, match="out"):
            read_results(tmp_path / "out")
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(ResultFormatError):
        read_results(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
