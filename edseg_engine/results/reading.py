"""The inverse of the files of a run: a result directory read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from edseg_engine.errors import EdsegError, ResultFormatError
from edseg_engine.io.read import read_map
from edseg_engine.labels import ATOMS, LABELS
from edseg_engine.networks.card import WeightsInfo
from edseg_engine.options import SegmentOptions
from edseg_engine.results.files import RESULT_FILES, SCHEMA, VOXEL_FILES, residue_of_address
from edseg_engine.results.records import ResidueProposal, Segmentation
from edseg_engine.results.residue_voxels import ResidueVoxels

_BELOW_DIGITS = 1e-6

#: Of results before there were votes for atoms.
_FIRST_SCHEMA = "edseg-result/1"


def read_results(directory: Path | str) -> Segmentation:
    """Read what `write_results` wrote, to the digits of the files.

    Returns
    -------
    Segmentation
        Without class maps, of which the files hold only the values on the user's grid; read these with `read_map`.

    Raises
    ------
    ResultFormatError
        If the directory does not hold the result of a run, or it is damaged.
    """
    directory = Path(directory)
    try:
        text = (directory / RESULT_FILES[0]).read_text(encoding="utf-8")
        return _segmentation(json.loads(text), directory)
    except OSError as error:
        raise ResultFormatError(
            f"{directory} cannot be read as a result of edseg: {error.strerror or error}."
        ) from error
    except KeyError as error:
        raise ResultFormatError(f"{directory} is not a sound result of edseg: {error} is missing.") from error
    except (ValueError, TypeError, AttributeError, IndexError, RuntimeError, EdsegError) as error:
        raise ResultFormatError(f"{directory} is not a sound result of edseg: {error}.") from error


def _segmentation(result: Mapping[str, Any], directory: Path) -> Segmentation:
    if result.get("schema") not in (_FIRST_SCHEMA, SCHEMA):
        raise ValueError(f"its schema is {result.get('schema')!r}, not {SCHEMA!r}")
    residues = tuple(_residue(values) for values in result["residues"])
    spacing = result["voxel_spacing"]
    return Segmentation(
        residues=residues,
        options=_options(result["options"]),
        input=dict(result["input"]),
        cell=gemmi.UnitCell(*map(float, result["cell"])),
        spacegroup=gemmi.SpaceGroup(result["spacegroup"]),
        resolution=float(result["resolution"]),
        region=str(result["region"]),
        weights=WeightsInfo(**result["weights"]),
        device=str(result["device"]),
        timings={str(stage): float(seconds) for stage, seconds in result["timings"].items()},
        warnings=tuple(map(str, result["warnings"])),
        voxels=None if spacing is None else _voxels(directory, float(spacing)),
    )


def _options(values: Mapping[str, Any]) -> SegmentOptions:
    known: dict[str, Any] = {"n_residues": values.get("residues")}  # its name in results of version 0.1
    known |= {f.name: values[f.name] for f in fields(SegmentOptions) if f.name in values}
    box, weights = known.get("box"), known.get("weights")
    known["box"] = None if box is None else tuple(box)
    known["weights"] = None if weights is None else Path(weights)
    return SegmentOptions(**known)


def _residue(values: Mapping[str, Any]) -> ResidueProposal:
    x, y, z = map(float, values["position"])
    probabilities = {label: float(values["probabilities"][label]) for label in LABELS}
    for number, rank in enumerate(reversed(values["ranks"])):
        # Ranks whose probabilities are equal to the digits of the file keep their order.
        probabilities[rank["label"]] = min(1.0, probabilities[rank["label"]] + (number + 1) * _BELOW_DIGITS)
    confidence, n_voxels = float(values["confidence"]), int(values["n_voxels"])
    atoms: Mapping[str, Any] = values.get("atoms", {})
    voted = tuple((float(a), float(b), float(c)) for a, b, c in (atoms[name] for name in ATOMS)) if atoms else ()
    return ResidueProposal(int(values["id"]), (x, y, z), tuple(probabilities.values()), confidence, n_voxels, voted)


def _voxels(directory: Path, spacing: float) -> ResidueVoxels:
    density = read_map(directory / VOXEL_FILES[1])
    positions: list[list[float]] = []
    ids: list[int] = []
    for site in gemmi.read_pdb(str(directory / VOXEL_FILES[0]))[0].all():
        positions.append(site.atom.pos.tolist())
        ids.append(residue_of_address(site.chain.name, int(site.residue.seqid.num or 0)))
    return ResidueVoxels(np.reshape(positions, (-1, 3)), np.array(ids, np.intp), spacing, density)
