"""Time and memory: the pipeline against a plain reading of the thesis's, side by side, and their growth with size."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch

from edseg_engine.crystal.density_map import DensityMap
from edseg_engine.crystal.map_grid import MapGrid
from edseg_engine.crystal.region import choose_region
from edseg_engine.evaluation.matching import match
from edseg_engine.io.ccp4 import write_ccp4
from edseg_engine.networks.weights import Weights
from edseg_engine.options import SegmentOptions
from edseg_engine.pipeline import find_residues, label_residues, predict_map, prepare_map, run_network, segment
from edseg_engine.progress import Clock
from edseg_engine.residues.classify import Classifier, classify
from edseg_engine.results.records import Segmentation
from tools.baseline import cluster_from_random_starts, predict_windows


@dataclass(frozen=True)
class Comparison:
    """Seconds of both ways for the network and the instances, and how well their results agree.

    Attributes
    ----------
    network, instances
        (product, baseline) in seconds.
    same_voxel_class
        Fraction of the voxels whose most probable class is the same.
    vote_distance
        Median distance (Å) of the two votes of a voxel.
    same_place
        Fraction of the product's residues with one of the baseline within 1 Å.
    same_label
        Fraction of those with the same rank-1 label.
    """

    network: tuple[float, float]
    instances: tuple[float, float]
    same_voxel_class: float
    vote_distance: float
    same_place: float
    same_label: float

    @property
    def speed_up(self) -> float:
        """Baseline over product, network and instances together."""
        return (self.network[1] + self.instances[1]) / (self.network[0] + self.instances[0])


def compare(density: DensityMap, n_residues: int, weights: Weights) -> Comparison:
    """Run both ways on the CPU with all threads that PyTorch was given."""
    region, device, classifier, clock = (
        choose_region(density, "auto"),
        torch.device("cpu"),
        Classifier.of(weights),
        Clock(),
    )
    predict_map(density, region, weights, device, orientations=1, alone=True)  # warm-up
    prediction = predict_map(density, region, weights, device, orientations=1, alone=True, clock=clock)
    found = find_residues(prediction, classifier, n_residues, clock)
    ours = prediction.voxels
    start = time.perf_counter()
    theirs = predict_windows(weights.net, prediction.volume)
    network_baseline = time.perf_counter() - start
    start = time.perf_counter()
    found_baseline = cluster_from_random_starts(theirs, n_residues)
    instances_baseline = time.perf_counter() - start
    pairs = match(found.instances.centroids, found_baseline.centroids, region.symmetry, cutoff=1.0)
    label = found.classes.probabilities.argmax(1)
    label_baseline = classify(found_baseline, theirs, classifier).probabilities.argmax(1)
    confident = ours.weights > 0.5
    return Comparison(
        (clock.timings["network"], network_baseline),
        (clock.timings["instances"], instances_baseline),
        float((ours.probabilities.argmax(1) == theirs.probabilities.argmax(1))[confident].mean()),
        float(np.median(np.linalg.norm(ours.votes - theirs.votes, axis=1)[confident])),
        len(pairs.found) / max(1, len(label)),
        float((label[pairs.found] == label_baseline[pairs.true]).mean()) if len(pairs.found) else 0.0,
    )


#: (orientations, views) whose times are compared.
AVERAGING = ((1, 1), (4, 1), (24, 1), (1, 4), (4, 4))
#: Times that each is run, in turn: what else the machine does meanwhile only ever adds time, so the fastest counts.
_ROUNDS = 3


def averaging_times(density: DensityMap) -> list[float]:
    """Return the seconds of whole runs of a map on the CPU, reading apart, for each pair of `AVERAGING`."""
    options = [SegmentOptions(device="cpu", orientations=o, views=v) for o, v in AVERAGING]
    segment(density, options[0])  # warm-up
    rounds = [[_seconds(segment(density, o)) for o in options] for _ in range(_ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


@dataclass(frozen=True)
class SizeResult:
    """One run of the whole pipeline.

    Attributes
    ----------
    residues, region
        What was found, and where.
    seconds
        Without reading the file.
    ceiling
        Bytes that the run was expected to need before it began.
    peak_memory
        Bytes that its process had at most.
    """

    residues: int
    region: str
    seconds: float
    ceiling: float
    peak_memory: int


def measure_size(path: Path, options: SegmentOptions, threads: int) -> SizeResult:
    """Run a map in a process of its own."""
    settings = asdict(options) | {"device": "cpu", "weights": options.weights and str(options.weights)}
    command = [sys.executable, "-m", "tools.timing", json.dumps([str(path), settings, threads])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return SizeResult(**json.loads(done.stdout.splitlines()[-1]))


def measure_here(path: Path, options: SegmentOptions) -> SizeResult:
    """Run a map in this process, which must not have needed more memory before."""
    ceilings: list[float] = []
    clock = Clock()
    prepared = prepare_map(path, options, clock, admit=ceilings.append)
    result = label_residues(run_network(prepared, options, clock), options, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return SizeResult(len(result.residues), result.region, _seconds(result), ceilings[0], peak)


def write_cube(density: DensityMap, edge: float, spacing: float, path: Path) -> None:
    """Write a cube of `edge` Å, filled with the crystal of `density`, as a map that is no crystal."""
    n = round(edge / spacing)
    values = density.sample((0.0, 0.0, 0.0), None, (n, n, n), spacing)
    cell, p1 = gemmi.UnitCell(edge, edge, edge, 90, 90, 90), gemmi.SpaceGroup("P 1")
    write_ccp4(values, MapGrid(cell, p1, (n, n, n), origin=(1.0, 1.0, 1.0)), path)


def _seconds(result: Segmentation) -> float:
    return sum(t for stage, t in result.timings.items() if stage != "read")


def _child(arguments: str) -> None:
    path, settings, threads = json.loads(arguments)
    torch.set_num_threads(threads)
    options = SegmentOptions(**settings | {"weights": settings["weights"] and Path(settings["weights"])})
    print(json.dumps(asdict(measure_here(Path(path), options))))


if __name__ == "__main__":
    _child(sys.argv[1])
