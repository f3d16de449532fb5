"""From votes to a refined model, and the parts of that way that need no votes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from edseg_engine.building.build import build
from edseg_engine.building.child import require_programs, run_child
from edseg_engine.building.clock import BuildClock
from edseg_engine.building.coordinates import chain_name, to_model
from edseg_engine.building.coot_engine import check, polish
from edseg_engine.building.cycles import Cycles, _State
from edseg_engine.building.dock import dock
from edseg_engine.building.files import BUILD_OUTPUT, write_build
from edseg_engine.building.merge import merge
from edseg_engine.building.records import BackboneResidues, MapFile, Model
from edseg_engine.building.refinement import test_set as free_reflections
from edseg_engine.building.results import BuildOptions, BuildResult, Checks
from edseg_engine.building.trace import trace
from edseg_engine.cli.build import summary
from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.phasing import reciprocal_lengths
from edseg_engine.errors import BuildError, Cancelled, DependencyError, DeviceError, OptionError, OutputError
from edseg_engine.evaluation.models import compare
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.io.read import read_map
from edseg_engine.io.reflections import read_amplitudes
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress
from engine import needs_engine
from full_disk import own_disk
from places import MODEL, MTZ
from simulated_votes import KnownChains, known_chains, votes

WRONG = "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKRHDFFKSAMPEGYVQER"


@pytest.fixture(scope="module")
def known() -> KnownChains:
    return known_chains(MODEL)


@pytest.fixture(scope="module")
def result(known: KnownChains) -> BuildResult:
    """A model in whose improved first map nothing is found, and whose second cycle and polishing fail."""
    found = replace(votes(known, np.random.default_rng(1), rms=0.7, rank1=0.8)[0], warnings=("The map is old.",))
    maps: list[float | None] = []

    def segmenter(density: DensityMap, progress: ProgressCallback) -> BackboneResidues:
        maps.append(density.d_min)
        if len(maps) == 3:
            raise DeviceError("There is too little memory.")
        return found if len(maps) == 1 else replace(found, atoms=found.atoms[:0])

    polished: list[Model] = []

    def polish_once(model: Model, *args: Any) -> Model:
        if polished:
            raise BuildError("Coot's engine stopped.")
        polished.append(polish(model, *args))
        return polished[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edseg_engine.building.cycles._COMPLETE", 2.0)  # no model is complete enough for one cycle
        patch.setattr("edseg_engine.building.cycles.polish", polish_once)
        result = build(MTZ, BuildOptions(known.sequences, cycles=2, resolution=2.1), segmenter)
    assert maps == pytest.approx([2.1, 2.1, 2.1], abs=0.02)
    return result


@needs_engine
def test_votes_become_a_refined_model(result: BuildResult, crystal_model: gemmi.Structure) -> None:
    comparison = compare(result.model.structure, crystal_model)
    assert comparison.placed >= 0.95
    assert comparison.linked >= 0.9
    assert comparison.rms_ca < 0.3
    assert result.r_free is not None
    assert result.r_free < 0.27  # the deposited model has 0.216
    assert result.n_waters >= 10
    assert result.checks.n_ramachandran_outliers <= 2
    assert result.checks.n_clashes is not None
    assert result.checks.n_clashes <= 5
    assert len(result.cycles) == 1
    assert result.warnings[0] == "The map is old."


@needs_engine
def test_the_files_of_a_model_are_complete_and_agree(result: BuildResult, tmp_path: Path) -> None:
    write_build(result, tmp_path / "new" / "model")
    assert sorted(os.listdir(tmp_path / "new" / "model")) == sorted(BUILD_OUTPUT.names)
    assert os.listdir(tmp_path / "new") == ["model"]
    report = json.loads((tmp_path / "new/model/build.json").read_text())
    assert report["schema"] == "edseg-build/1"
    assert report["r_free"] == pytest.approx(result.r_free, abs=1e-3)
    for name in ("model.cif", "model.pdb"):
        structure = gemmi.read_structure(str(tmp_path / "new/model" / name))
        assert structure.find_spacegroup().hm == "P 32 2 1"
        names = {
            (chain.name, residue.seqid.num): residue.name
            for chain in structure[0]
            for residue in chain
            if not residue.is_water()
        }
        assert names == {(r["chain"], r["number"]): r["type"] for r in report["residues"]}
    mtz = gemmi.read_mtz_file(str(tmp_path / "new/model/model.mtz"))
    assert {"FWT", "PHWT", "DELFWT", "PHDELWT"} <= set(mtz.column_labels())


@needs_engine
def test_chains_that_were_not_found_are_told(result: BuildResult, known: KnownChains, tmp_path: Path) -> None:
    def missing(*sequences: str) -> list[str]:
        cycles = Cycles(BuildOptions(sequences), pytest.fail, BuildClock(), tmp_path, None)
        state = _State(result.model, MapFile(tmp_path / "map.mtz"), ())
        return [warning for warning in cycles.warnings(state, result.checks) if "chains of the sequence" in warning]

    (there,) = known.sequences
    assert not missing(there)
    assert missing(there, WRONG) == ["Of 1 chains of the sequence MSKGEELFTGVV... (96 residues) 0 were found."]
    (told,) = missing(there, there)
    assert told.startswith("Of 2 chains")
    assert told.endswith("1 were found.")


@needs_engine
def test_a_model_that_cannot_be_checked_is_kept(result: BuildResult, tmp_path: Path) -> None:
    lost = _State(result.model, MapFile(tmp_path / "lost.mtz", "FWT", "PHWT"), ())
    cycles = Cycles(
        BuildOptions(), lambda density, progress: pytest.fail("It is not read."), BuildClock(), tmp_path, None
    )
    checks = cycles.checked(lost)
    assert checks == Checks({}, {}, {}, None)
    assert any("failed to check" in warning for warning in cycles.warnings(lost, checks))
    unchecked = replace(result, checks=checks)
    write_build(unchecked, tmp_path / "model")
    report = json.loads((tmp_path / "model/build.json").read_text())
    assert report["clashes"] is None
    assert len(report["residues"]) == len(result.model.residues)
    assert "Clashes" in summary(result, tmp_path)
    assert "Clashes" not in summary(unchecked, tmp_path)


@needs_engine
def test_a_model_does_not_replace_other_files(result: BuildResult, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_build(result, tmp_path)
    with pytest.raises(OutputError, match=r"notes\.txt"):
        write_build(result, tmp_path, overwrite=True)
    assert os.listdir(tmp_path) == ["notes.txt"]


@needs_engine
def test_a_wrong_sequence_is_reported(known: KnownChains) -> None:
    residues, _ = votes(known, np.random.default_rng(1))
    with pytest.raises(BuildError, match="fits the sequence"):
        build(MTZ, BuildOptions((WRONG,), refine=False), lambda density, progress: residues)


@needs_engine
def test_a_cancelled_run_leaves_nothing(known: KnownChains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    residues, _ = votes(known, np.random.default_rng(1))

    def stop(progress: Progress) -> None:
        if progress.stage == "build" and progress.message:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        build(MTZ, BuildOptions(known.sequences), lambda density, _: residues, stop)
    assert os.listdir(tmp_path) == []


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(OptionError, match="cycles"):
        BuildOptions(cycles=0)
    with pytest.raises(OptionError, match="residues"):
        BuildOptions(residues=0)


def test_a_missing_package_is_named() -> None:
    with pytest.raises(DependencyError, match=r"no-such-package.*\[build\]"):
        require_programs({"no_such_module": "no-such-package"})


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="the reason"):
        run_child([sys.executable, "-c", "raise SystemExit('the reason')"], tmp_path, "it", 60, lambda text: None)


def test_a_program_that_fails_on_a_full_disk_is_not_to_blame(tmp_path: Path) -> None:
    code = "open('large', 'wb').write(bytes(1 << 22))"
    with own_disk(tmp_path, 1 << 21), pytest.raises(OutputError, match="no room for temporary files"):
        run_child([sys.executable, "-c", code], tmp_path, "it", 60, lambda text: None)


@needs_engine
def test_an_engine_that_crashes_is_run_again_in_one_thread(
    crystal_model: gemmi.Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads sometimes do."""
    threads: list[int] = []

    def crash_once(command: list[str], *args: Any) -> None:
        threads.append(json.loads(Path(command[-1]).read_text())["threads"])
        fault = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
        run_child(fault if len(threads) == 1 else command, *args)

    monkeypatch.setattr("edseg_engine.building.coot_engine.run_child", crash_once)
    monkeypatch.setattr("edseg_engine.building.coot_engine.usable_cores", lambda: 2)
    density = read_map(MTZ)
    write_ccp4(density.values, density.grid, tmp_path / "map.ccp4")
    bonded = crystal_model.clone()
    bond = gemmi.Connection()
    bond.name, bond.type = "bond", gemmi.ConnectionType.Covale
    bond.partner1, bond.partner2 = (
        gemmi.make_address(bonded[0]["A"], bonded[0]["A"][i], bonded[0]["A"][i]["CB"][0]) for i in (1, 40)
    )
    bonded.connections.append(bond)
    checks = check(Model(bonded, {}, {}), MapFile(tmp_path / "map.ccp4"), tmp_path, ignore_progress)
    assert threads == [2, 1]
    assert "LINK" not in (tmp_path / "coot-validate-in.pdb").read_text(), "bonds make it crash, too"
    assert checks.n_ramachandran_outliers == 0


def test_a_program_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(BuildError, match="stopped after"):
        run_child([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, "it", 1, lambda text: None)
    assert time.monotonic() - begin < 20


def test_a_cancelled_program_does_not_live_on(tmp_path: Path) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    seen = []

    def watch(text: str) -> None:
        if text:
            seen.append(int(text))
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        run_child([sys.executable, "-c", code], tmp_path, "it", 60, watch)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals children when their parent dies")
def test_a_program_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = (
        "import sys; from pathlib import Path; from edseg_engine.building.child import run_child\n"
        f"run_child([sys.executable, '-c', {child!r}], Path({str(tmp_path)!r}), 'it', 60, "
        "lambda text: print(text, end='', flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    number = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the program lives on")


def test_amplitudes_are_cut_with_all_that_belongs_to_them() -> None:
    whole = read_amplitudes(MTZ)
    assert whole is not None
    cut = whole.cut(2.5)
    inv_d2 = reciprocal_lengths(cut.cell, cut.spacegroup, cut.miller)
    assert inv_d2.max() <= 1 / 2.5**2
    assert 0.4 * len(whole.f) < len(cut.f) < 0.7 * len(whole.f)
    kept = {tuple(hkl): f for hkl, f in zip(whole.miller.tolist(), whole.f.tolist(), strict=True)}
    assert [kept[tuple(hkl)] for hkl in cut.miller.tolist()] == cut.f.tolist()
    assert whole.free is not None
    assert cut.free is not None
    assert len(cut.free) == len(cut.f)


def test_the_test_set_of_the_file_is_kept_and_else_made_the_same_every_time() -> None:
    amplitudes = read_amplitudes(MTZ)
    assert amplitudes is not None
    assert amplitudes.free is not None
    assert free_reflections(amplitudes) is amplitudes.free
    made = free_reflections(replace(amplitudes, free=None))
    assert 0.03 < made.mean() < 0.07
    order = np.random.default_rng(0).permutation(len(made))
    shuffled = replace(amplitudes, free=None, miller=amplitudes.miller[order])
    assert (free_reflections(shuffled) == made[order]).all()


def known_model(known: KnownChains) -> Model:
    residues, _ = votes(known, np.random.default_rng(0), rms=0.0, rank1=0.999, lost=0, false=0, reverse=0)
    return to_model(dock(trace(residues), known.sequences))


def test_a_known_model_is_complete_and_its_register_matters(known: KnownChains, crystal_model: gemmi.Structure) -> None:
    model = known_model(known)
    perfect = compare(model.structure, crystal_model)
    assert perfect.placed > 0.97
    assert perfect.rms_ca < 0.01
    shifted = model.structure.clone()
    names = [residue.name for residue in shifted[0]["A"]]
    for residue, name in zip(shifted[0]["A"], names[1:] + names[:1], strict=True):
        residue.name = name
    shift = compare(shifted, crystal_model)
    assert shift.placed < 0.02
    assert shift.completeness > 0.97


def test_what_is_found_again_stays_and_what_is_new_is_added(known: KnownChains) -> None:
    old = known_model(known)
    structure = old.structure.clone()
    chain = structure[0]["A"]
    for i in reversed(range(30, 40)):
        del chain[i]
    missing = {address for address in old.residues if 31 <= address[1] <= 40}
    partial = replace(old, structure=structure)
    residues, _ = votes(known, np.random.default_rng(3), rms=0.3, rank1=0.95)
    new = to_model(dock(trace(residues), known.sequences))
    merged, kept = merge(partial, new, known.symmetry, dict.fromkeys(partial.residues, 0.9))
    assert list(merged.sequences) == ["A"]
    assert kept.isdisjoint(missing)
    assert len(kept) >= 80
    found = {address for address in missing if address in new.residues}
    assert found
    assert found <= set(merged.residues)
    for address in kept:
        same = merged.residues[address][0].pos.dist(partial.residues[address][0].pos)
        assert same < 1e-3
    numbers = [residue.seqid.num for residue in merged.structure[0]["A"]]
    assert numbers == sorted(set(numbers))
    for a, b in zip(merged.structure[0]["A"], list(merged.structure[0]["A"])[1:], strict=False):
        if b.seqid.num == a.seqid.num + 1 and a.seqid.num != 47:
            assert a.find_atom("CA", "*").pos.dist(b.find_atom("CA", "*").pos) < 5.5


def test_chains_have_names_in_order() -> None:
    names = [chain_name(i) for i in range(70)]
    assert names[:3] == ["A", "B", "C"]
    assert len(set(names)) == 70
