"""``edseg compare``: how much of the true model a model built by any program has."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edseg_engine.evaluation.models import Comparison


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compare",
        help="compare a model built by any program with the true one",
        description="Print how much of the true model of a crystal a built one has, whatever program built it, and "
        "how right it is, over symmetry copies and copies of a chain.",
    )
    parser.add_argument("built", type=Path, metavar="MODEL_BUILT", help="PDB or mmCIF file, plain or gzipped")
    parser.add_argument("true", type=Path, metavar="MODEL_TRUE", help="the true model of the same crystal")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    import json

    from edseg_engine.cli.console import say
    from edseg_engine.evaluation.comparison_file import comparison_to_json
    from edseg_engine.evaluation.models import compare
    from edseg_engine.io.coordinates import read_model
    from edseg_engine.io.output import output_file

    comparison = compare(read_model(args.built), read_model(args.true))
    if args.json:
        content = comparison_to_json(comparison, args.built, args.true)
        with output_file(args.json, inputs=(args.built, args.true)) as file:
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say(summary(comparison, args.built, args.true))
    return 0


def summary(comparison: Comparison, built: Path, true: Path) -> str:
    """Return the lines that people read."""
    from edseg_engine.evaluation.models import BUILT, LINKED, NEAR
    from edseg_engine.io.names import shown

    c = comparison
    lines = [
        f"Built model   {shown(built)}: {c.n_built} residues",
        f"True model    {shown(true)}: {c.n_true} residues",
    ]
    if any(c.origin):
        lines.append(f"Origin        built model moved by {', '.join(f'{x:.3g}' for x in c.origin)} of the cell")
    rows = [
        (f"Completeness (CA within {BUILT:g} Å)", c.completeness, c.n_true),
        ("  and the right type", c.typed, c.n_true),
        ("  and the right place in the sequence", c.placed, c.n_true),
        (f"Right place, CA within {NEAR:g} Å", c.sequenced, c.n_true),
        (f"Peptide bonds (C-N within {LINKED:g} Å)", c.linked, c.n_bonds),
        ("Extra residues, of those built", c.extra, c.n_built),
    ]
    lines += ["", *(f"{name:<40}{_percent(share)}{_numbers(share, n)}" for name, share, n in rows)]
    lines += [
        "",
        f"{'CA rms':<40}{_angstrom(c.rms_ca)}",
        f"{'Side-chain rms beyond CB':<40}{_angstrom(c.rms_side_chain)}",
        "",
        f"{'Types in 17 classes':<40}{'paired':>8}{'right of the paired':>22}{'right of all':>15}",
    ]
    for name, pairs in (("  paired by centroids", c.by_centroids), ("  paired by boxes (thesis)", c.by_boxes)):
        shares = _percent(pairs.matched), f"{_percent(pairs.rank1_matched):>22}", f"{_percent(pairs.rank1_all):>15}"
        lines.append(f"{name:<40}" + "".join(shares))
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:6.1f} %" if share == share else f"{'-':>8}"


def _numbers(share: float, n: int) -> str:
    return f"   {round(share * n)} of {n}" if n else ""


def _angstrom(deviation: float) -> str:
    return f"{deviation:6.2f} Å" if deviation == deviation else f"{'-':>8}"
