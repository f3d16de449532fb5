"""From the files of a user to those of a model."""

from __future__ import annotations

from pathlib import Path

from edseg_engine.building.build import build
from edseg_engine.building.files import write_build
from edseg_engine.building.results import BuildOptions, BuildResult
from edseg_engine.building.votes import vote
from edseg_engine.io.coordinates import ca_positions, read_model
from edseg_engine.io.sequence import read_sequences
from edseg_engine.options import SegmentOptions
from edseg_engine.progress import ProgressCallback


def build_from_files(
    path: Path,
    directory: Path,
    network: SegmentOptions,
    progress: ProgressCallback,
    *,
    sequence: Path | None,
    model: Path | None,
    cycles: int,
    refine: bool,
    f_label: str | None,
    phi_label: str | None,
    overwrite: bool,
) -> BuildResult:
    """Build a model into the map of a file and write it to `directory`, see `edseg_engine.building.build.build`.

    Parameters
    ----------
    network
        How the network runs; also the resolution and the number of residues.
    sequence, model
        FASTA file of the chains, and coordinate file of a known part; None where there is none.
    overwrite
        Whether to replace an earlier result.

    Raises
    ------
    EdsegError
        One of its subclasses for files that cannot be used or written, and where nothing can be built.
    """
    options = BuildOptions(
        sequences=read_sequences(sequence) if sequence else (),
        residues=network.n_residues,
        cycles=cycles,
        refine=refine,
        around=ca_positions(read_model(model)) if model else None,
        resolution=network.resolution,
        f_label=f_label,
        phi_label=phi_label,
    )
    result = build(path, options, lambda density, p: vote(density, network, p), progress)
    write_build(result, directory, overwrite=overwrite, progress=progress)
    return result
