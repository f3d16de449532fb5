"""Balance the residue types of windows as the thesis did (4.3): ``python -m tools.augmentation``.

The structures of a folder that meet the thesis's criteria (4.1), or all of them, give the windows of its three
resolutions; those of one fold of the cross-validation are to validate with, all others to train on. Written are a table
like the thesis's 4.1 and a picture like its figure 4.10. No maps are needed: what is in a window follows from the
models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edseg_engine.dataset.augmentation import chi_square_distance, occurrences, selected
from edseg_engine.dataset.criteria import N_FOLDS, fold_of, unmet_criterion
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.dataset.thesis import SETS, windows_of
from edseg_engine.errors import EdsegError, TrainingDataError
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.io.output import make_directory, output_file
from edseg_engine.labels import TYPES
from edseg_engine.residues.known import KnownResidues, known_residues
from tools.command import run_tool
from tools.plotting import pyplot, save_figure

_HEADER = ["windows", "N before", "N after", "CSD before", "CSD after"]


@dataclass(frozen=True)
class _Balanced:
    """Windows to train on or to validate with: residues of each type in each of them, and how often each is seen."""

    counts: NDArray[np.intp]
    times: NDArray[np.intp]

    @property
    def before(self) -> NDArray[np.float64]:
        return self.counts.sum(0).astype(np.float64)

    @property
    def after(self) -> NDArray[np.float64]:
        return (self.times @ self.counts).astype(np.float64)

    def row(self, name: str) -> list[str]:
        distances = (f"{chi_square_distance(total):.4f}" for total in (self.before, self.after))
        return [name, str(len(self.times)), str(int(self.times.sum())), *distances]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser("python -m tools.augmentation", description="Balance the types in windows.")
    parser.add_argument("--structures", type=Path, required=True, help="packs, or a folder with folders of models")
    parser.add_argument("--split", nargs="+", default=["train"], help="splits to take structures of")
    parser.add_argument("--every", action="store_true", help="take every structure, whatever the criteria say")
    parser.add_argument("--fold", type=int, choices=range(1, N_FOLDS + 1), default=1, help="fold to validate with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder for augmentation.md and augmentation.png")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Write the table and the picture, and print the table."""
    plt = pyplot()
    make_directory(args.out)
    proteins = _proteins(args.structures, args.split, args.every)
    validated = [fold_of(name) == args.fold for name, _ in proteins]
    if all(validated) or not any(validated):
        raise TrainingDataError(
            f"{args.structures} has {len(proteins)} structures to use, all on one side of fold "
            f"{args.fold}; more are needed."
        )
    rows, pictures = [], []
    for fixed in SETS:
        windows = [windows_of(residues, fixed).counts for _, residues in proteins]
        train = np.concatenate([w for w, out in zip(windows, validated, strict=True) if not out])
        val = np.concatenate([w for w, out in zip(windows, validated, strict=True) if out])
        training = _Balanced(train, occurrences(train, np.random.default_rng(args.seed)))
        validation = _Balanced(val, selected(val).astype(np.intp))
        name = f"{fixed.d_min:g} Å"
        rows += [training.row(f"{name}, training"), validation.row(f"{name}, validation")]
        pictures.append((name, training, validation))
    head = f"{len(proteins)} proteins, {sum(validated)} of them in fold {args.fold}, to validate with.\n\n"
    text = head + markdown_table(_HEADER, rows)
    with output_file(args.out / "augmentation.md") as file:
        file.write_text(text, encoding="utf-8")
    save_figure(plt, _draw(plt, pictures), args.out / "augmentation.png")
    print(text, end="")


def _proteins(folder: Path, splits: Sequence[str], every: bool) -> list[tuple[str, KnownResidues]]:
    found = []
    for pack in (pack for split in splits for pack in structures_of_split(folder, split)):
        for i in np.flatnonzero(pack.is_crystal | every):
            structure = pack[int(i)]
            if every or unmet_criterion(structure) is None:
                try:
                    found.append((structure.name, known_residues(structure[0])))
                except EdsegError:  # residues without atoms that count
                    continue
    return found


def _draw(plt: Any, pictures: Sequence[tuple[str, _Balanced, _Balanced]]) -> Any:
    figure, grid = plt.subplots(len(pictures), 2, figsize=(11, 2.6 * len(pictures)), sharex=True, sharey=True)
    places = np.arange(len(TYPES))
    for axes, (name, *sets) in zip(grid, pictures, strict=True):
        for ax, kind, balanced in zip(axes, ("training", "validation"), sets, strict=True):
            for shift, when in ((-0.2, "before"), (0.2, "after")):
                total = getattr(balanced, when)
                ax.bar(places + shift, total / total.sum(), 0.4, label=when)
            ax.axhline(1 / len(TYPES), color="black", linestyle="--", linewidth=1)
            ax.set_title(f"{name}, {kind}", fontsize="medium")
            ax.set_xticks(places, [t.capitalize() for t in TYPES], rotation=90)
        axes[0].set_ylabel("share of residues")
    grid[0][0].set_ylim(top=0.13)
    grid[0][0].legend(loc="upper center", ncols=2)
    return figure


if __name__ == "__main__":
    raise SystemExit(main())
