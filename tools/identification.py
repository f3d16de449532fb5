"""How surely the protein of a map is found among many: ``python -m tools.identification``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import gemmi
import numpy as np

from edseg_engine.building.identify import identify
from edseg_engine.building.search import Candidate
from edseg_engine.cli.arguments import device_parser, network_parser
from edseg_engine.cli.evaluate import PHASES
from edseg_engine.dataset.experimental import ExperimentalCrystal
from edseg_engine.dataset.packs import structures_of_split
from edseg_engine.errors import EdsegError
from edseg_engine.evaluation.tables import markdown_table
from edseg_engine.options import SegmentOptions
from tools.building import write_initial
from tools.command import run_tool
from tools.crystals import chosen_crystals

_HEADER = [
    "crystal", "d_min (Å)", "longest sequence", "phases", "rank", "E-value", "score", "best other score", "covered",
]  # fmt: skip
SPLITS = ("train", "val", "test")
#: Shortest sequence of the database.
_SHORTEST = 30


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.identification",
        parents=[network_parser(), device_parser()],
        description="Look for the proteins of known crystals among the sequences of many structures, their own, and "
        "shuffled ones.",
    )
    parser.add_argument("--experimental", type=Path, required=True, help="folder of experimental crystals")
    parser.add_argument("--structures", type=Path, required=True, help="folder of structures with other sequences")
    parser.add_argument("--sequences", type=int, default=10_000, help="at least so many (default: %(default)s)")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--crystals", nargs="+", required=True, help="their names")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=["refined"])
    parser.add_argument("--resolution", type=float, metavar="Å", help="cut the maps there")
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Print a Markdown table, a row for each crystal and kind of phases as they are done."""
    entries = chosen_crystals(args.experimental, args.split, args.crystals, sequences=True)
    options = SegmentOptions(
        orientations=args.orientations,
        views=args.views,
        device=args.device,
        weights=args.weights,
        resolution=args.resolution,
    )
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "database.fasta"
        own = [sequence for _, entry in entries for sequence in entry.sequences]
        count = write_database(database, [*own, *sequences_of(args.structures)], args.sequences)
        print(f"{count} sequences\n\n" + markdown_table(_HEADER, []), end="", flush=True)
        for number, entry in entries:
            crystal = ExperimentalCrystal(entry)
            for phases in args.phases:
                path = entry.data_path
                if phases != "refined":
                    path = Path(folder) / "initial.mtz"
                    write_initial(crystal, phases, np.random.default_rng([11, number]), path)
                longest = max(map(len, entry.sequences))
                head = [entry.name, f"{args.resolution or entry.d_min:.2f}", str(longest), phases]
                try:
                    candidates = identify(path, database, options).search.candidates
                except EdsegError as error:
                    row = [f"{type(error).__name__}: {error}", *[""] * 4]
                else:
                    row = _figures(candidates, entry.sequences)
                print("| " + " | ".join([*head, *row]) + " |", flush=True)


def sequences_of(structures: Path) -> Iterator[str]:
    """Yield the sequence of each protein chain of a folder of structures."""
    for split in SPLITS:
        for pack in structures_of_split(structures, split):
            for number in range(len(pack)):
                structure = pack[number]
                structure.setup_entities()
                for chain in structure[0]:
                    yield gemmi.one_letter_code(chain.get_polymer().extract_sequence())


def write_database(path: Path, sequences: Sequence[str], least: int) -> int:
    """Write sequences, each once, and shuffled ones until there are `least`; returns how many."""
    kept = [s for s in dict.fromkeys(sequences) if len(s) >= _SHORTEST]
    rng = np.random.default_rng(5)
    real = len(kept)
    for number in range(max(0, least - real)):
        kept.append("".join(rng.permutation(list(kept[number % real]))))
    path.write_text("".join(f">s{number}\n{sequence}\n" for number, sequence in enumerate(kept)))
    return len(kept)


def _figures(candidates: Sequence[Candidate], own: Sequence[str]) -> list[str]:
    right = [(rank, c) for rank, c in enumerate(candidates, 1) if c.sequence in own]
    wrong = max((c.score for c in candidates if c.sequence not in own), default=float("nan"))
    if not right:
        return ["not among the first", "", "", f"{wrong:.0f}", ""]
    rank, found = right[0]
    return [str(rank), f"{found.e_value:.1g}", f"{found.score:.0f}", f"{wrong:.0f}", str(found.covered)]


if __name__ == "__main__":
    sys.exit(main())
