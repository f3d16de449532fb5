"""What the engine found, as its ``result.json`` says it. The file may come from anywhere, so each value is checked."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymol_edseg import checked
from pymol_edseg.palette import LABELS

#: The voted atoms of a residue: its own, and the CA of its neighbours in the chain.
BACKBONE = ("N", "CA", "C", "O", "CB")
NEXT, PREVIOUS = "next CA", "previous CA"
SCHEMA = "edseg-result/2"
_FIRST_SCHEMA = "edseg-result/1"
_RESIDUES_PER_CHAIN = 9999
_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SPACE_GROUP = re.compile(r"[A-Z][A-Za-z0-9 /:()-]{0,30}")


@dataclass(frozen=True)
class Proposal:
    """One residue: where it is (Å) and what it may be."""

    id: int
    position: tuple[float, float, float]
    ranks: tuple[tuple[str, float], ...]
    probabilities: Mapping[str, float]
    confidence: float
    n_voxels: int
    #: Where its voxels vote atoms to be (Å), by name; empty where the network does not vote for atoms.
    atoms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def anchor(self) -> tuple[float, ...]:
        """The place by which the residue is compared with others: its CA, or its centroid."""
        return self.atoms.get("CA", self.position)

    @property
    def label(self) -> str:
        """The rank-1 class."""
        return self.ranks[0][0]

    @functools.cached_property
    def address(self) -> tuple[str, str]:
        """Chain and residue number in coordinate files and PyMOL objects; up to 9999 the number is the id."""
        chain, number = divmod(self.id - 1, _RESIDUES_PER_CHAIN)
        return _CHAINS[chain % len(_CHAINS)], str(number + 1)


@dataclass(frozen=True)
class Segmentation:
    """A result of the engine.

    Attributes
    ----------
    proposals
        The residues, in the order of their ids.
    cell, spacegroup
        Unit cell (Å, degrees) and Hermann-Mauguin symbol of the crystal; ``"P 1"`` for a map without crystal.
    mean, sd
        Of the map's values.
    resolution
        The d_min (Å) that the run used.
    voxel_spacing
        Of the voxels that surfaces are carved to (Å); None if the engine wrote none.
    device, weights, engine_version
        What the run was made with.
    warnings
        Sentences for the user.
    data
        The content of ``result.json``, to be stored.
    """

    proposals: tuple[Proposal, ...]
    cell: tuple[float, ...]
    spacegroup: str
    mean: float
    sd: float
    resolution: float
    voxel_spacing: float | None
    device: str
    weights: str
    engine_version: str
    warnings: tuple[str, ...]
    data: Mapping[str, Any]

    @classmethod
    def from_json(cls, data: Any) -> Segmentation:
        """Read the content of ``result.json``.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            proposals = tuple(map(_proposal, data["residues"]))
            if len({p.id for p in proposals}) < len(proposals):
                raise ValueError("two residues have the same id")
            return cls(
                proposals,
                read_cell(data["cell"]),
                read_space_group(data["spacegroup"]),
                # A map may have any scale.
                checked.number(data["input"]["mean"], -1e38, 1e38),
                checked.number(data["input"]["sd"], 0, 1e38),
                checked.number(data["resolution"], 0.1, 100),
                checked.optional(checked.number, data["voxel_spacing"]),
                checked.text(data["device"]),
                checked.text(data["weights"]["name"]),
                checked.text(data["engine_version"]),
                tuple(map(checked.text, data["warnings"])),
                data,
            )
        except checked.DAMAGE as error:
            raise ValueError(f"The result is damaged ({error}); run the segmentation again.") from error


def read_result(folder: Path) -> Segmentation:
    """Read ``result.json`` of an output directory of the engine.

    Raises
    ------
    ValueError
        If there is none or it cannot be read, in a sentence for the user.
    """
    path = folder / "result.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged; run the segmentation again.") from error
    if not isinstance(data, dict) or data.get("schema") not in (_FIRST_SCHEMA, SCHEMA):
        raise ValueError(f"{path} is not an {SCHEMA} file; the engine and the plugin must be of the same version.")
    return Segmentation.from_json(data)


def _proposal(residue: Any) -> Proposal:
    x, y, z = checked.numbers(residue["position"], 3)
    first, second, third = (_rank(rank) for rank in residue["ranks"])
    return Proposal(
        checked.whole(residue["id"], 1, _RESIDUES_PER_CHAIN * len(_CHAINS)),
        (x, y, z),
        (first, second, third),
        {label: checked.number(residue["probabilities"][label], 0, 1) for label in LABELS},
        checked.number(residue["confidence"], 0, 1),
        checked.whole(residue["n_voxels"], 0, 10**9),
        _atoms(residue.get("atoms") or {}),
    )


def _atoms(voted: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    return {name: checked.numbers(voted[name], 3) for name in (*BACKBONE, NEXT, PREVIOUS)} if voted else {}


def _rank(rank: Any) -> tuple[str, float]:
    label = rank["label"]
    if label not in LABELS:
        raise ValueError(f"{label!r} is not a residue class")
    return label, checked.number(rank["probability"], 0, 1)


def read_cell(values: Any) -> tuple[float, ...]:
    """Return a unit cell (Å, degrees); raises an error of `checked.DAMAGE`."""
    cell = checked.numbers(values, 6)
    for length, angle in zip(cell[:3], cell[3:], strict=True):
        checked.number(length, 0.1, 1e5)
        checked.number(angle, 1, 179)
    return cell


def read_space_group(name: Any) -> str:
    """Return a Hermann-Mauguin symbol; raises an error of `checked.DAMAGE`."""
    if not isinstance(name, str) or not _SPACE_GROUP.fullmatch(name):
        raise ValueError(f"{name!r} is not a space group")
    return name
