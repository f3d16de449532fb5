"""The page ``docs/accuracy.md``: every figure on it is measured by one command."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.labelled import KnownMap
from edseg_engine.dataset.simulate import NOISE_FREE, SimulationOptions, simulate_map
from edseg_engine.evaluation.evaluate import AS_IS, MapScore, Protocol, score_maps
from edseg_engine.evaluation.maps import experimental_maps, simulated_maps
from edseg_engine.evaluation.metrics import reliability
from edseg_engine.evaluation.tables import class_table, map_table, markdown_table, summary_table, totals
from edseg_engine.networks.weights import Weights, backbone_beside
from edseg_engine.resolution import RANGES
from tools.diagrams import reliability_diagrams
from tools.realism import EVERY, Quality, crystals_to_simulate, map_quality, means_and_deviations

_HEAD = """# Accuracy

Everything here is written by `{command}`; nothing is typed in by hand.

**Protocol.** Maps are read as they are: solvent, symmetry copies and noise are in them, unless a table says *culled*
(then density farther than 3 Å from the model is removed first, as in the thesis; this is impossible without a model).
*K given*: the number of residues in the asymmetric unit is given. *K found*: it is estimated from the map. *True
instances*: the voxels of each residue are taken from the model, so that only the labels are judged. A residue is
found when a centroid lies within 3 Å of its own, under symmetry, paired one to one by linear assignment. **rank-1**
and **rank-3** are fractions of *all* residues of the models; a missed residue is wrong. *recall* and *precision* are
of location alone; *label precision* and *label recall* are means over the 17 classes with the label right as well.
*ECE* is the expected calibration error of the confidence with K found. The networks read one orientation of the grid,
unless a table says that more are averaged. *Views* are voxel grids rotated by any angle, whose votes are pooled; one is
used, unless a table says otherwise. *Summed probabilities*: labels by the mean over a residue's voxels alone, as in the
thesis (3.3), without the classifier of residues, and not calibrated.

**Data.** Experimental maps are the split `dev` of the experimental crystals ({n_dev} sets), never trained on and
sharing no 30 %-identity cluster with anything trained on; they were looked at while the method was developed, and the
calibration was fitted on them. All but a few are phased by the model that they are compared with: they have seen the
answer, as have the maps of the thesis. Simulated maps are of every fourth crystal of the split `val`
([training.md](training.md) describes the simulation).

Weights: {weights}

"""


#: Ranges of experimental resolution (Å) and the simulated one that is compared; atoms of the largest simulated model.
_REALISM_BINS = (
    (1.8, 2.2, 2.0),
    (2.2, 2.5, 2.35),
    (2.5, 2.8, 2.65),
    (2.8, 3.1, 2.95),
    (3.1, 3.5, 3.3),
    (3.5, 4.5, 3.8),
)


@dataclass(frozen=True)
class Section:
    """A named set of maps."""

    name: str
    maps: Callable[[], Iterable[KnownMap]]
    protocol: Protocol = AS_IS
    details: bool = False


def sections(structures: Path, experimental: Path) -> list[Section]:
    """Return the sets of maps of the page."""

    def real(low: float, high: float, cut: float | None = None) -> Callable[[], Iterable[KnownMap]]:
        return lambda: experimental_maps(experimental, "dev", low, high, cut)

    def simulated(d_min: float, options: SimulationOptions) -> Callable[[], Iterable[KnownMap]]:
        return lambda: simulated_maps(structures, "val", d_min, options, every=EVERY)

    return [
        Section("experimental, better than 2.5 Å", real(0, 2.5), details=True),
        Section("experimental, 2.5-3.5 Å", real(2.5, 3.5), details=True),
        Section("experimental, beyond 3.5 Å", real(3.5, 9)),
        Section("experimental, 2.5-3.5 Å, data cut at 3.8 Å", real(2.5, 3.5, 3.8), details=True),
        Section("experimental, 2.5-3.5 Å, data cut at 4.2 Å", real(2.5, 3.5, 4.2)),
        Section("experimental, better than 2.5 Å, 4 orientations", real(0, 2.5), Protocol(4)),
        Section("experimental, 2.5-3.5 Å, 4 orientations", real(2.5, 3.5), Protocol(4)),
        Section("experimental, 2.5-3.5 Å, 4 views", real(2.5, 3.5), Protocol(views=4)),
        Section("experimental, better than 2.5 Å, summed probabilities", real(0, 2.5), Protocol(summed=True)),
        Section("experimental, 2.5-3.5 Å, summed probabilities", real(2.5, 3.5), Protocol(summed=True)),
        *(Section(f"simulated, {d} Å", simulated(d, SimulationOptions())) for d in (2.0, 3.0, 4.0)),
        *(
            Section(f"simulated, {d} Å, noise-free, culled", simulated(d, NOISE_FREE), Protocol(cull=True))
            for d in (2.0, 3.0, 4.0)
        ),
    ]


def write_page(
    structures: Path,
    experimental: Path,
    choose: Callable[[KnownMap], Weights],
    device: torch.device,
    command: str,
    report: Callable[[str], None],
    diagrams: Path,
) -> str:
    """Measure everything and return the page as Markdown; draws reliability diagrams into the file `diagrams`."""
    used: dict[str, Weights] = {}

    def remember(known: KnownMap) -> Weights:
        weights = choose(known)
        used[weights.card.range.name] = weights
        return weights

    scored: list[tuple[Section, list[MapScore]]] = []
    for section in sections(structures, experimental):
        report(section.name)
        scores = score_maps(section.maps(), remember, device, lambda _: None, section.protocol)
        if scores:
            scored.append((section, scores))
    parts = [_HEAD.format(command=command, n_dev=len(read_index(experimental, "dev")), weights=_named(used.values()))]
    parts += ["## All sets\n", summary_table([(section.name, scores) for section, scores in scored])]
    for section, scores in scored:
        if section.details:
            parts += [f"## {section.name[0].upper() + section.name[1:]}: map by map\n", map_table(scores)]
    for section, scores in scored[:2]:
        parts += [
            f"## {section.name[0].upper() + section.name[1:]}: class by class, K given\n",
            class_table(*totals(scores)),
        ]
    parts += ["## Is the confidence reliable?\n", _reliability(scored)]
    calibrated = {section.name: scores for section, scores in scored if not section.protocol.summed}
    if reliability_diagrams(calibrated, diagrams):
        parts.append(f"![Fraction right against confidence, map set by map set]({diagrams.name})\n")
    report("simulation and reality")
    parts += ["## Are the simulated maps as bad as real ones?\n", _realism(structures, experimental)]
    return "\n".join(parts)


def _named(used: Collection[Weights]) -> str:
    """Return what the page says of weights, and of those that run beside them."""
    beside = {other.info.name: other for w in used if (other := backbone_beside(w))}
    texts = [
        f"`{w.info.name}` ({w.card.training.get('windows', '?')} windows in its last training run, "
        f"sha256 {w.info.sha256[:12]})"
        for w in (*used, *beside.values())
    ]
    return ", ".join(texts)


def _reliability(scored: list[tuple[Section, list[MapScore]]]) -> str:
    rows = []
    for section, scores in scored:
        if section.protocol.summed:
            continue
        confidence = np.concatenate([s.proposals.classes.confidence for s in scores])
        right = np.concatenate([s.proposals.right for s in scores])
        for n, mean, fraction in reliability(confidence, right):
            rows.append([section.name, str(n), f"{mean:.2f}", f"{fraction:.2f}"])
    text = (
        "Residues found with K found, in bins of confidence; *right*: there is a residue, and rank 1 is its class.\n\n"
    )
    return text + markdown_table(["maps", "residues", "mean confidence", "right"], rows)


def _realism(structures: Path, experimental: Path) -> str:
    """Return the table of map quality: experimental sets of both splits by resolution, simulated ones beside them."""
    real: list[tuple[float, Quality]] = []
    for split in ("dev", "train"):
        for entry in read_index(experimental, split):
            if entry.d_min >= RANGES[0].d_min or split == "dev":
                crystal = ExperimentalCrystal(entry)
                density = crystal.density(max(entry.d_min, RANGES[0].d_min))
                real.append((entry.d_min, map_quality(density, crystal.structure)))
    crystals = crystals_to_simulate(structures)
    rows = []
    for low, high, d_min in _REALISM_BINS:
        chosen = [q for d, q in real if low <= d < high]
        simulated = [
            map_quality(simulate_map(structure, d_min, np.random.default_rng([7, i])), structure)
            for i, structure in enumerate(structure.clone() for structure in crystals)
        ]
        for name, group in ((f"experimental, {low}-{high} Å", chosen), (f"simulated, {d_min} Å", simulated)):
            values = [np.array([q.correlation, q.outer_correlation, q.side_chain]) for q in group]
            if values:
                rows.append([name, str(len(values)), *means_and_deviations(values)])
    text = (
        "Correlation of the map with the density of model and bulk solvent, over all and over the outer half of the\n"
        "reflections, and density at side-chain ends over density at CA (mean and deviation over maps).\n\n"
    )
    return text + markdown_table(["maps", "number", "correlation", "outer correlation", "side chains"], rows)
